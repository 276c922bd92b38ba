"""A graft's training beside its baseline: learns, keeps what it learned, resumes, tells the difference."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import fresh
import numpy as np
import pytest
import torch
import transformers

from ropewalk import IncrementConfig, UserError
from ropewalk.corpus import Corpus, CorpusConfig, prepare
from ropewalk.hf import Graft, graft, load
from ropewalk.hf.llama_export import byte_tokenizer
from ropewalk.hf.loading import open_tokenizer
from ropewalk.system import available_memory
from ropewalk.tokens.huggingface import HuggingFaceTokenizer
from ropewalk.tokens.tokenizer import ByteTokenizer
from ropewalk.training import recipe
from ropewalk.training.corpus_tokens import tokenize_corpus
from ropewalk.training.graft import memory_estimate, paired
from ropewalk.training.graft.recipe import GraftConfig, GraftRecipe, rates
from ropewalk.training.graft.trainable import Trainee, open_base, prefix_of
from ropewalk.training.memory_estimate import MemoryEstimate
from ropewalk.training.optimizer import OptimizerConfig

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")
SHAPE = {"vocab_size": 257, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny Llama folder that reads bytes, with its tokenizer."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE, **HEADS, eos_token_id=256))
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    for i in range(12):
        (folder / f"{i:02}.txt").write_text(f"number {i}: the cat sat on the mat. " * 12)
    config = CorpusConfig(sources=({"path": str(folder)},), validation_documents=3)  # type: ignore[arg-type]
    return prepare(config, folder / "cache", progress=False)


def plan(base: str, trainable: str = "increments", steps: int = 3, **more: Any) -> GraftRecipe:
    shape = {
        "base": base,
        "trainable": trainable,
        "context_length": 32,
        "lora_rank": 2,
        **more.pop("model", {}),
    }
    train = {
        "steps": steps,
        "batch_size": 4,
        "precision": "float32",
        "device": "cpu",
        "validation_tokens": 300,
        **more,
    }
    return GraftRecipe(
        corpus=CorpusConfig(sources=({"builtin": "python"},)),  # type: ignore[arg-type]
        model=GraftConfig(**shape),
        optimizer=OptimizerConfig(lr=0.01, warmup=1),
        train=recipe.TrainConfig(**{"log_every": 1, "validate_every": 2, **train}),
    )


@pytest.mark.parametrize("trainable", ["increments", "lora", "full"])
def test_trains_beside_a_baseline(trainable: str, base: str, corpus: Corpus, tmp_path: Path) -> None:
    report = paired.train(plan(base, trainable), corpus, tmp_path)
    mean, low, high = report.difference
    assert low <= mean <= high and len(report.grafted.losses) == len(report.baseline.losses) > 1
    assert all(row["std"] > 0 for row in report.grafted.spacing)
    assert [(row["mean"], row["std"]) for row in report.baseline.spacing] == [(1.0, 0.0)] * 2
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["difference"]["mean"] == pytest.approx(mean) and "difference" in report.summary()
    if trainable == "increments":
        assert not (tmp_path / "baseline" / "metrics.jsonl").exists()
    else:
        steps = [
            [
                json.loads(line)["step"]
                for line in (tmp_path / side / "metrics.jsonl").read_text().splitlines()
            ]
            for side in ("grafted", "baseline")
        ]
        assert steps[0] == steps[1] and max(steps[0]) == 3
    kept = tmp_path / "grafted" / "model"
    where = str(kept / "base") if trainable == "full" else base
    model = transformers.AutoModelForCausalLM.from_pretrained(where)
    if trainable == "lora":
        import peft

        model = peft.PeftModel.from_pretrained(model, kept / "lora")
    grafted = load(model, kept)
    losses = []
    with torch.no_grad():
        from ropewalk.core import loss
        from ropewalk.corpus import windows

        for part in windows.validation(corpus.validation, context=32, limit=300, size=8):
            logits = grafted(part[:, :-1]).logits
            losses += [
                float(loss.nats(row[None], seen[None])) for row, seen in zip(logits, part[:, 1:], strict=True)
            ]
    assert np.allclose(losses, report.grafted.losses, atol=1e-5)


def test_a_frozen_baseline_is_the_untouched_base(base: str, corpus: Corpus, tmp_path: Path) -> None:
    report = paired.train(plan(base, steps=1), corpus, tmp_path)
    with (
        graft(transformers.AutoModelForCausalLM.from_pretrained(base), parametrization="integer") as plain,
        torch.no_grad(),
    ):
        from ropewalk.core import loss
        from ropewalk.corpus import windows

        first = next(iter(windows.validation(corpus.validation, context=32, limit=300, size=8)))[:1]
        assert float(loss.nats(plain(first[:, :-1]).logits, first[:, 1:])) == pytest.approx(
            report.baseline.losses[0]
        )


@pytest.mark.parametrize("trainable", ["increments", "lora"])
def test_resumes_as_if_it_had_never_stopped(
    trainable: str, base: str, corpus: Corpus, tmp_path: Path
) -> None:
    whole = paired.train(plan(base, trainable, steps=4, checkpoint_minutes=0.0), corpus, tmp_path / "a")

    def stop(progress: Any) -> None:
        if progress.step == 2:
            raise KeyboardInterrupt

    wanted = plan(base, trainable, steps=4, checkpoint_minutes=0.0)
    with pytest.raises(KeyboardInterrupt):
        paired.train(wanted, corpus, tmp_path / "b", watch=stop)
    resumed = paired.train(wanted, corpus, tmp_path / "b", resume=True)
    assert resumed.grafted.losses == whole.grafted.losses


def test_a_corpus_is_read_by_a_tokenizer_once(base: str, corpus: Corpus, tmp_path: Path) -> None:
    tokenizer = HuggingFaceTokenizer(open_tokenizer(base))
    read = tokenize_corpus(corpus, tokenizer, tmp_path)
    assert np.array_equal(read.train, corpus.train) and np.array_equal(read.validation, corpus.validation)
    assert read.hash != corpus.hash and tokenize_corpus(corpus, ByteTokenizer(), tmp_path) is corpus
    stamp = next((tmp_path / "tokens").iterdir()).stat().st_mtime_ns
    tokenize_corpus(corpus, tokenizer, str(tmp_path))
    assert next((tmp_path / "tokens").iterdir()).stat().st_mtime_ns == stamp


@pytest.mark.parametrize("damage", ["zeros", "short", "beyond", "index", "no index", "missing"])
def test_damaged_tokens_are_noticed_and_made_again(
    damage: str, base: str, corpus: Corpus, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer = HuggingFaceTokenizer(open_tokenizer(base))
    before = np.array(tokenize_corpus(corpus, tokenizer, tmp_path).train)
    folder = next((tmp_path / "tokens").iterdir())
    data = (folder / "train.bin").read_bytes()
    if damage == "zeros":
        (folder / "train.bin").write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    elif damage == "short":
        (folder / "train.bin").write_bytes(data[:-4])
    elif damage == "beyond":
        (folder / "train.bin").write_bytes(b"\xff" * len(data))
    elif damage == "index":
        (folder / "index.json").write_text("{}")
    else:
        (folder / ("index.json" if damage == "no index" else "validation.bin")).unlink()
    after = tokenize_corpus(corpus, tokenizer, tmp_path)
    assert np.array_equal(after.train, before) and "are damaged" in caplog.text


def needed(base: str, ranks: int = 1, **model: Any) -> MemoryEstimate:
    return memory_estimate.estimate(plan(base, model=model), compute=torch.bfloat16, ranks=ranks)


def test_the_estimate_counts_what_learns(base: str) -> None:
    sizes = {part: needed(base, trainable=part) for part in ("increments", "lora", "full")}
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    count = sum(p.numel() for p in model.parameters())
    with graft(model) as grafted:
        increments = sum(p.numel() for p in grafted.parameters())
    assert sizes["increments"].parameters == count
    assert sizes["increments"].learning == pytest.approx(increments, rel=0.05)
    assert sizes["increments"].learning < sizes["lora"].learning < sizes["full"].learning
    copies = 4 + 2  # bytes in float32, and in bfloat16 to compute with
    assert sizes["full"].weights == pytest.approx(copies * count + 4 * increments, rel=1e-3)
    assert needed(base, ranks=4, trainable="full", shard=True).optimizer == sizes["full"].optimizer / 4
    assert needed(base, trainable="full", checkpointing=True).activations < sizes["full"].activations
    assert sizes["full"].libraries == memory_estimate.LIBRARIES + 257 * memory_estimate.TOKENIZER
    assert any("libraries 0.06" in line for line in sizes["full"].describe(1, "graft-train"))


@pytest.mark.parametrize("trainable", ["increments", "lora", "full"])
@pytest.mark.parametrize("compute", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("inside", [2, 4])
def test_the_estimate_of_activations_is_what_a_pass_keeps(
    trainable: str, compute: torch.dtype, inside: int, tmp_path: Path
) -> None:
    shape = transformers.LlamaConfig(
        vocab_size=257, hidden_size=128, intermediate_size=inside * 128, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=64,
    )  # fmt: skip
    transformers.LlamaForCausalLM(shape).save_pretrained(tmp_path / "llama")
    wanted = plan(
        str(tmp_path / "llama"), trainable, model={"context_length": 64}, batch_size=4, micro_batch_size=4
    )
    host = open_base(wanted.model, compute, seed=0)
    student = Trainee(Graft(host, wanted.model.increments, 0), compute)
    own = {p.untyped_storage().data_ptr() for p in student.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(x: torch.Tensor) -> torch.Tensor:
        if x.untyped_storage().data_ptr() not in own:
            kept[x.untyped_storage().data_ptr()] = x
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        student(torch.zeros(4, 64, dtype=torch.int64)).logits.float().sum()
    seen = sum(x.untyped_storage().nbytes() for x in kept.values())
    assert memory_estimate.estimate(wanted, compute=compute).activations == pytest.approx(seen, rel=0.2)


def test_the_estimate_of_other_shapes_and_quantized_weights(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = transformers.AutoConfig.from_pretrained(base)
    monkeypatch.setattr(memory_estimate, "open_config", lambda name: shape)
    whole = needed(base)
    for content, part in (
        ({"load_in_8bit": True}, 1 / 2),
        ({"load_in_4bit": True}, 1 / 4),
        ({"bits": 3}, 3 / 16),
    ):
        shape.quantization_config = content
        less = needed(base).weights - 4 * whole.learning
        assert less == pytest.approx(part * (whole.weights - 4 * whole.learning))
    assert (
        memory_estimate._mlp_size(transformers.PretrainedConfig(hidden_size=8, intermediate_size=[16, 48]))
        == 48
    )
    assert memory_estimate._mlp_size(transformers.PretrainedConfig(hidden_size=8)) == 32


def test_a_training_that_would_not_fit_is_refused_before_it_begins(
    base: str, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(available_memory, "available_bytes", lambda sharing: 1e5)
    for train in (paired.train, paired.train_side):
        with pytest.raises(UserError, match=r"this training needs about .* MB of memory .*; lower micro"):
            train(plan(base), corpus, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_large_model_comes_with_the_command_for_several_devices() -> None:
    large = MemoryEstimate(7_000_000_000, 7_000_000_000, 28e9, 28e9, 56e9, 4e9, 1e9)
    text = "\n".join(large.describe(1, "graft-train"))
    assert "117.00 GB" in text
    assert "torchrun --nproc-per-node 2 -m ropewalk graft-train ... --shard" in text
    assert large.devices(4e9) == 0


def test_mistakes_are_refused_with_a_sentence(base: str, corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere/at-all is no local folder"):
        needed("nowhere/at-all")
    with pytest.raises(UserError, match="sharding needs several processes"):
        paired.train(plan(base, model={"shard": True}), corpus, tmp_path / "a")
    config = transformers.GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=257)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    with pytest.raises(UserError, match="GPT2LMHeadModel has no rotary"):
        paired.train(plan(str(tmp_path / "gpt2")), corpus, tmp_path / "b")


def test_rates_follow_what_learns() -> None:
    for part in ("increments", "lora", "full"):
        chosen = rates(part, 1000)  # type: ignore[arg-type]
        assert chosen.lr * chosen.increments_lr_multiplier == pytest.approx(1e-3) and chosen.warmup == 100


def two(base: str, corpus: Corpus, out: Path, shard: bool, breaks: bool = False) -> list[tuple[int, str]]:
    """Exit status and messages of two processes that train into one folder."""
    program = Path(__file__).with_name("two.py").read_text()
    environment = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    environment["MASTER_PORT"] = str(20_000 + os.getpid() % 20_000 + 2 * shard + breaks)
    words = [base, str(corpus.folder), str(out), str(int(shard)), str(int(breaks))]
    folder = out.with_name(f"{out.name}-programs")
    folder.mkdir()
    running = [
        fresh.Program(program, folder, *words, **environment, RANK=str(rank), LOCAL_RANK=str(rank))
        for rank in range(2)
    ]
    return [(done.returncode, done.stderr) for done in (process.finish() for process in running)]


@pytest.mark.parametrize("shard", [False, True])
def test_two_processes_train_as_one(shard: bool, base: str, corpus: Corpus, tmp_path: Path) -> None:
    trainable = "full"
    alone = paired.train(
        plan(base, trainable, model={"increments": IncrementConfig(hidden_size=8)}), corpus, tmp_path / "one"
    )
    for status, errors in two(base, corpus, tmp_path / "two", shard):
        assert status == 0, errors[-2000:]
    content = json.loads((tmp_path / "two" / "report.json").read_text())
    assert content["processes"] == 2
    assert np.allclose(content["grafted"]["losses"], alone.grafted.losses, atol=2e-4)
    assert (tmp_path / "two" / "grafted" / "model" / "increments.safetensors").exists()


def test_a_process_that_breaks_takes_the_other_with_it(base: str, corpus: Corpus, tmp_path: Path) -> None:
    (first, said), (second, cause) = two(base, corpus, tmp_path, shard=False, breaks=True)
    assert first == 1 and second != 0 and "ArithmeticError: out of the blue" in cause
    assert "Traceback" not in said and not (tmp_path / "report.json").exists()


def test_a_prefix_is_read_and_left_out_of_the_loss(base: str) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(base).eval()
    plain = Graft(model, IncrementConfig())
    ids = torch.arange(12)[None]
    with torch.no_grad():
        output = Trainee(plain, torch.float32, (7, 8))(ids)
        whole = plain(torch.cat([torch.tensor([[7, 8]]), ids], 1))
    assert torch.allclose(output.logits, whole.logits[:, 2:], atol=1e-5) and output.r[0].shape == (
        1,
        12,
        1,
    )
    assert prefix_of(GraftConfig(base=base)) == ()
    assert prefix_of(GraftConfig(base=base, start="bos")) == (256,)
    with pytest.raises(UserError, match="start must be auto"):
        prefix_of(GraftConfig(base=base, start=9999))
