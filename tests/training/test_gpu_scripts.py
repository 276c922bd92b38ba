"""The scripts for a rented GPU, rehearsed end to end on the CPU at tiny size."""

import importlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from ropewalk.native import checkpoint
from ropewalk.native.decoder import Decoder

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"


def run(script: str, *words: str, cache: Path, scripts: Path = SCRIPTS) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ROPEWALK_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(scripts / script), *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    for name in ("a", "b"):
        documents = [{"text": f"{name} {i}: the cat sat on the mat. " * 8} for i in range(60)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))
    return folder


@pytest.fixture(scope="module")
def tree(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is sent: code, a wheel, and both files of text within 5 MB."""
    pytest.importorskip("zstandard")
    folder = tmp_path_factory.mktemp("sent")
    wheel = make_wheel(folder / "wheels")
    words = [str(folder / "tree"), "--wheels", str(wheel.parent), "--megabytes", "5", "--level", "3"]
    for name in ("a", "b"):
        words += ["--corpus", str(text / f"{name}.jsonl")]
    done = run("pack_for_gpu.py", *words, cache=folder)
    assert done.returncode == 0, done.stderr
    return folder / "tree"


def make_wheel(folder: Path, name: str = "carried_to_gpu") -> Path:
    """A wheel with one module."""
    folder.mkdir()
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.py", "ANSWER = 42\n")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture(scope="module")
def first(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first script brings back; it runs in the folder that was sent."""
    folder = tmp_path_factory.mktemp("first")
    options = json.dumps(["float32, eager", "eager, graph"])
    done = run(
        "gpu_lease.py", "--tiny", "--seconds", "6000", "--corpus", str(tree / "corpus"), "--out", str(folder),
        "--options", options, cache=folder.parent / "cache", scripts=tree / "scripts",
    )  # fmt: skip
    log = (folder / "log.txt").read_text() if (folder / "log.txt").exists() else ""
    assert done.returncode == 0, done.stdout + done.stderr + log
    return folder


def unpacked(model: Path) -> Decoder:
    shutil.unpack_archive(model, model.with_suffix(""))
    decoder = checkpoint.load_decoder(model.with_suffix(""))
    shutil.rmtree(model.with_suffix(""))
    return decoder


def test_the_first_script_ends_with_a_model(first: Path) -> None:
    figures = json.loads((first / "figures.json").read_text())
    assert "failures" not in figures
    assert figures["environment"]["device"] == "CPU"
    for name in ("float32, eager", "eager, graph"):
        assert figures["parity"][name]["passed"], figures["parity"][name]
        assert name == "float32, eager" or figures["bench"][name]["seconds"] > 0
    assert figures["train"]["per-layer"]["name"] == "eager, graph"
    assert figures["bench"]["eager, graph / rope"]["seconds"] > 0
    assert figures["result"]["per-layer validation_loss"] < 6
    model = unpacked(first / "model-per-layer.zip")
    assert model.provenance["recipe"]["train"]["cuda_graphs"]
    files = [path for path in first.rglob("*") if path.is_file()]
    assert len(files) <= 8 and all(path.stat().st_size < 2**24 for path in files)
    assert all(len(path.relative_to(first).parts) <= 3 and not path.name.startswith(".") for path in files)


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Hugging Face model, cut into pieces of 20 kB."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("peft")
    from ropewalk.hf.llama_export import byte_tokenizer

    folder = tmp_path_factory.mktemp("base")
    shape = {"vocab_size": 257, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "max_position_embeddings": 64, "eos_token_id": 256}
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**shape, **heads)).save_pretrained(
        folder / "model"
    )
    byte_tokenizer().save_pretrained(folder / "model")
    done = run(
        "model_pieces.py", str(folder / "model"), str(folder / "pieces"), "--megabytes", "0.02", cache=folder
    )
    assert done.returncode == 0 and len(done.stdout.splitlines()) > 2, done.stdout + done.stderr
    return folder / "pieces"


def test_the_second_script_trains_both_baselines_and_a_graft(
    first: Path, tree: Path, pieces: Path, tmp_path: Path
) -> None:
    done = run(
        "gpu_second_lease.py", "--tiny", "--seconds", "6000", "--corpus", str(tree / "corpus"), "--out", str(tmp_path),
        "--first", str(first), "--base", str(pieces), cache=first.parent / "cache", scripts=tree / "scripts",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert "failures" not in figures, figures["failures"]
    graft = figures["result"]["graft"]
    assert graft["steps"] == 4 and graft["tokens"] == 4 * 2 * 32 and graft["seconds"] > 0
    low, mean, high = (graft["report"]["difference"][key] for key in ("low", "mean", "high"))
    assert low <= mean <= high
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) <= 8 and not any(path.name.startswith(".") for path in files)
    trained = {name: unpacked(tmp_path / f"model-{name}.zip") for name in ("shared", "rope")}
    steps = {name: model.provenance["recipe"]["train"]["steps"] for name, model in trained.items()}
    assert steps == {"shared": 20, "rope": 20}
    assert (
        trained["shared"].config.increments.shared
        and trained["rope"].config.increments.parametrization == "integer"
    )


@pytest.fixture
def lease(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import gpu_lease

    return gpu_lease


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import gpu_steps

    return gpu_steps


def test_parity_fails_when_accumulation_is_broken(
    steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    option = steps.option_of("eager, graph", True)
    for decay in (None, "forget"):
        assert steps.parity({**option, "decay": decay}, True, tmp_path)["passed"]
    made = steps.step_of

    def broken(*words, **more):  # type: ignore[no-untyped-def]
        step = made(*words, **more)
        whole = step.loss

        def losing(model: torch.nn.Module, part: torch.Tensor, attention: str):  # type: ignore[no-untyped-def]
            for parameter in model.parameters():
                parameter.grad = None
            return whole(model, part, attention)

        step.loss = losing
        return step

    monkeypatch.setattr(steps, "step_of", broken)
    result = steps.parity(option, True, tmp_path)
    assert not result["passed"] and result["gradient"] > 0.05


def test_other_peoples_models_are_timed_as_options_are(
    steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    done = []
    monkeypatch.setattr(steps, "other_step", lambda name: lambda: done.append(name))
    name = steps.OTHERS[0]
    result = steps.bench(steps.option_of(name, True), True, tmp_path)
    assert set(done) == {name} and result["seconds"] > 0 and result["bytes_per_second"] > 0


def test_only_options_whose_parity_holds_are_used(lease, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    figures = lease.Figures(tmp_path)
    assert lease.fastest(figures)["name"] == "the ordinary step"
    for name, passed, seconds in (
        ("compiled, graph", False, 0.001),
        ("eager, graph", True, 0.003),
        ("eager", True, 0.002),
        ("compiled, graph, forget gate", True, 0.0005),
    ):
        figures.set("parity", name, {"passed": passed})
        figures.set("bench", name, {"seconds": seconds})
    assert lease.fastest(figures)["name"] == "eager, graph"  # the others are not what the recipe asks for


def test_a_stage_that_fails_or_has_no_time_is_a_figure(lease, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    figures, clock = lease.Figures(tmp_path), lease.Clock(100)
    assert lease.attempt("a stage", clock, figures, lambda: 1 / 0) is None
    assert "ZeroDivisionError" in figures.found["failures"]["a stage"]
    words = type("Words", (), {"out": tmp_path, "tiny": True})
    lease.stage("parity", ["eager"], 1000.0, clock, figures, words)
    assert figures.found["parity"]["eager"]["failed"].startswith("not started")


def test_the_package_for_a_gpu_fits_and_holds_whole_documents(tree: Path, text: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    assert (tree / "scripts" / "gpu_lease.py").exists() and (tree / "recipes" / "post.toml").exists()
    assert (tree / "wheels" / "carried_to_gpu-1.0-py3-none-any.whl").exists()
    assert not (tree / "docs").exists() and not (tree / "tests").exists()
    with zstandard.ZstdDecompressor().stream_reader(
        (tree / "corpus" / "a.jsonl.zst").read_bytes(), read_across_frames=True
    ) as file:
        packed = file.read()
    assert packed == (text / "a.jsonl").read_bytes()
    sent = [path for path in tree.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in sent) < 5 * 2**20


def test_packages_that_are_missing_come_from_the_wheels(
    lease, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("PYTHONPATH", "TORCHINDUCTOR_CACHE_DIR"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setattr(lease, "NEEDED", ("torch", "carried_to_gpu"))
    figures = lease.Figures(tmp_path)
    assert lease.environment(tmp_path, figures, tree / "wheels")
    assert importlib.import_module("carried_to_gpu").ANSWER == 42
    monkeypatch.setattr(lease, "NEEDED", ("no_such_package",))
    assert not lease.environment(tmp_path, figures, None)
    assert figures.found["environment"]["no_such_package"] == "missing"


def test_a_model_in_pieces_is_put_together_or_refused(pieces: Path, tmp_path: Path, lease) -> None:  # type: ignore[no-untyped-def]
    import model_pieces

    whole = model_pieces.join(pieces, tmp_path / "model")
    original = pieces.parent / "model"
    names = sorted(path.name for path in original.iterdir())
    assert sorted(path.name for path in whole.iterdir()) == names
    assert all((whole / name).read_bytes() == (original / name).read_bytes() for name in names)
    assert all(path.stat().st_size <= 0.02 * 2**20 for path in pieces.iterdir())
    some = tmp_path / "some"
    shutil.copytree(pieces, some)
    next(some.iterdir()).unlink()
    with pytest.raises(ValueError, match="send those that are missing"):
        model_pieces.join(some, tmp_path / "broken")


def test_text_that_does_not_fit_is_cut_between_documents(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zstandard = pytest.importorskip("zstandard")
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import pack_for_gpu

    written, documents = pack_for_gpu.copy_text(text / "a.jsonl", tmp_path / "a.jsonl.zst", 200, 3)
    with zstandard.ZstdDecompressor().stream_reader(
        (tmp_path / "a.jsonl.zst").read_bytes(), read_across_frames=True
    ) as file:
        lines = file.read().splitlines()
    assert 0 < written <= 200 and len(lines) == documents < 60
    assert json.loads(lines[-1])["text"].startswith("a ")
