"""The native decoder: its size, its agreement with Llama, its identity at the start, edits and taps."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import LEARNED, SUMMED, config, moved, tokens
from transformers import LlamaConfig, LlamaForCausalLM

from ropewalk.core.host import increments_of
from ropewalk.core.increment_config import IncrementConfig
from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.native.config import DecoderConfig
from ropewalk.native.decoder import Decoder
from ropewalk.training import execution


@pytest.mark.parametrize(
    ("parametrization", "per", "millions"),
    [("integer", "layer", 6.36), ("positive", "shared", 6.38), ("bounded", "layer", 6.46)],
)
def test_the_default_sizes_are_the_published_ones(parametrization: str, per: Any, millions: float) -> None:
    shape = DecoderConfig(increments=IncrementConfig(parametrization=parametrization, per=per))
    with torch.device("meta"):
        model = Decoder(shape, seed=None)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == millions
    assert (shape.vocab_size, shape.hidden_size, shape.num_heads, shape.num_layers, shape.mlp_size) == (
        257,
        256,
        8,
        6,
        1024,
    )


def test_matrices_start_at_the_published_spread() -> None:
    model = Decoder(config(decoder={"hidden_size": 128}), seed=0)
    for name, parameter in model.layers.named_parameters():
        if parameter.dim() == 2:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.05), name
        else:
            assert torch.equal(parameter, torch.ones_like(parameter)), name


def llama_of(model: Decoder) -> LlamaForCausalLM:
    """A Hugging Face Llama with the very weights of a decoder."""
    c = model.config
    host = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=c.vocab_size,
            hidden_size=c.hidden_size,
            intermediate_size=c.mlp_size,
            num_hidden_layers=c.num_layers,
            num_attention_heads=c.num_heads,
            num_key_value_heads=c.kv_heads,
            rms_norm_eps=c.norm_eps,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": c.rope_theta},
            max_position_embeddings=c.context_length,
            attn_implementation="eager",
        )
    )
    names = {
        "attention.q": "self_attn.q_proj",
        "attention.k": "self_attn.k_proj",
        "attention.v": "self_attn.v_proj",
    }
    names |= {"attention.o": "self_attn.o_proj", "mlp.gate": "mlp.gate_proj", "mlp.up": "mlp.up_proj"}
    names |= {
        "mlp.down": "mlp.down_proj",
        "attention_norm": "input_layernorm",
        "mlp_norm": "post_attention_layernorm",
    }
    state = {"model.embed_tokens.weight": model.embedding, "model.norm.weight": model.norm.weight}
    state |= {"lm_head.weight": model.embedding}
    for i, layer in enumerate(model.layers):
        for ours, theirs in names.items():
            state[f"model.layers.{i}.{theirs}.weight"] = layer.get_parameter(f"{ours}.weight")
    host.load_state_dict(state, strict=True)
    return host.eval()


@pytest.mark.parametrize("num_kv_heads", [None, 2, 1])
def test_logits_agree_with_llama_at_integer_positions(num_kv_heads: int | None) -> None:
    model = moved(Decoder(config("integer", decoder={"num_kv_heads": num_kv_heads}), seed=0), scale=0.05)
    with torch.no_grad():
        ours, theirs = model(tokens(2, 40)).logits, llama_of(model)(tokens(2, 40)).logits
    assert theirs.abs().max() > 0.1
    assert (ours - theirs).abs().max() < 1e-5


@pytest.mark.parametrize("parametrization", LEARNED)
def test_logits_agree_with_llama_at_learned_positions(parametrization: str) -> None:
    """A Llama that receives the real-valued positions of the shared row."""
    model = moved(Decoder(config(parametrization, per="shared"), seed=0), scale=0.05)
    with torch.no_grad():
        for own in model.increment_modules.parameters():
            own.add_(0.2)
        output = model(tokens(2, 40), activations=["positions.0"])
        p = output.activations["positions.0"][..., 0]
        host = llama_of(model)
        theirs = host(
            tokens(2, 40), position_ids=p, attention_mask=torch.ones(2, 40, dtype=torch.long)
        ).logits
        plain = host(tokens(2, 40)).logits
    assert (output.logits - theirs).abs().max() < 1e-5
    assert (plain - theirs).abs().max() > 1e-3


@pytest.mark.parametrize("encoding", ["rope", "pope"])
@pytest.mark.parametrize(
    ("parametrization", "gap"),
    [
        *((parametrization, "before") for parametrization in LEARNED),
        *((parametrization, "after") for parametrization in SUMMED),
    ],
)
def test_every_parametrization_starts_bit_identical_to_integer_positions(
    parametrization: str, gap: str, encoding: str
) -> None:
    plain = Decoder(config("integer", decoder={"encoding": encoding}), seed=4)
    learned = Decoder(config(parametrization, gap=gap, decoder={"encoding": encoding}), seed=4)
    assert torch.equal(plain(tokens(2, 50)).logits, learned(tokens(2, 50)).logits)


@pytest.mark.parametrize("parametrization", ["integer", *LEARNED, "frozen"])
def test_training_and_reading_give_the_same_logits(parametrization: str) -> None:
    model = moved(Decoder(config(parametrization, per_head=True), seed=0))
    read = model(tokens(2, 21))
    trained = model.train()(tokens(2, 21))
    assert torch.allclose(read.logits, trained.logits, atol=1e-4)
    for ours, theirs in zip(read.r, trained.r, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-3)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_traced_training_equals_eager_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each layer is one graph, forward and backward, the kernel within it; no C++ is generated here."""
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **how: real(f, backend="aot_eager", **how))
    for shape in (
        config("bounded"),
        config("positive", per="shared", decoder={"num_kv_heads": 2, "encoding": "pope"}),
    ):
        eager = moved(Decoder(shape, seed=0), scale=0.1).train()
        traced = moved(Decoder(shape, seed=0), scale=0.1).train()
        execution.apply_plan(execution.ExecutionPlan("cpu", "float32", True, 1, ""), traced)
        assert traced.layer_fn is not eager.layer_fn
        assert traced.layer_with_increments_fn is not eager.layer_with_increments_fn
        for model in (eager, traced):
            model(tokens(2, 16)).logits.square().mean().backward()
        for (name, a), b in zip(eager.named_parameters(), traced.parameters(), strict=True):
            assert a.grad is not None and b.grad is not None
            assert torch.allclose(a.grad, b.grad, rtol=1e-3, atol=1e-5), name


def test_compiled_layers_equal_eager_layers() -> None:
    """With generated C++, forward only: half of the minute that a compiler takes for a backward pass too."""
    plan, notes = execution.plan_execution("cpu", "float32", True)
    if notes:
        pytest.skip(notes[0])
    shape = config("bounded", decoder={"num_layers": 1, "hidden_size": 16, "num_heads": 2})
    model = moved(Decoder(shape, seed=0)).train()
    with torch.no_grad():
        eager = model(tokens(2, 16)).logits
        assert torch.allclose(execution.apply_plan(plan, model)(tokens(2, 16)).logits, eager, atol=1e-4)


def test_narrow_compute_keeps_positions_wide() -> None:
    model = moved(Decoder(config("positive", per="shared"), seed=0), scale=0.1)
    wide = model(tokens(1, 60), activations=["positions.0"])
    model.compute_dtype = torch.bfloat16
    narrow = model(tokens(1, 60), activations=["positions.0", "residual.1"])
    assert narrow.logits.dtype == narrow.activations["residual.1"].dtype == torch.bfloat16
    assert narrow.r[0].dtype == narrow.activations["positions.0"].dtype == torch.float32
    assert torch.allclose(
        narrow.activations["positions.0"], wide.activations["positions.0"], rtol=0.02, atol=0.05
    )
    assert narrow.activations["positions.0"].unique().numel() == 60
    assert (narrow.logits.float() - wide.logits).abs().mean() < 0.05 * wide.logits.std()


def test_taps_give_what_was_asked_and_nothing_else() -> None:
    model = moved(Decoder(config(per_head=True, decoder={"num_kv_heads": 2}), seed=0))
    asked = ["residual.0", "residual.1", "positions.1", "attention.0"]
    activations = model(tokens(2, 7), activations=asked).activations
    assert {name: tuple(value.shape) for name, value in activations.items()} == {
        "residual.0": (2, 7, 32),
        "residual.1": (2, 7, 32),
        "positions.1": (2, 7, 2),
        "attention.0": (2, 4, 7, 7),
    }
    assert torch.equal(activations["residual.0"], model.embedding[tokens(2, 7)])
    with pytest.raises(UserError, match=r"unknown activation 'residual.2': this model has .* I from 0 to 1"):
        model(tokens(1, 3), activations=["residual.2"])


def test_lines_name_the_increments_in_order() -> None:
    shape = {"num_layers": 3, "num_kv_heads": 2}
    assert [str(row) for row in config(decoder=shape).rows] == ["L0", "L1", "L2"]
    assert config(decoder=shape, per="shared").rows == (Row(),)
    assert [str(row) for row in config(decoder=shape, per="shared", per_head=True).rows] == [
        "all.h0",
        "all.h1",
    ]
    heads = Decoder(config(decoder=shape, per_head=True), seed=0)
    assert [str(row) for row in heads.rows] == ["L0.h0", "L0.h1", "L1.h0", "L1.h1", "L2.h0", "L2.h1"]
    assert increments_of(heads(tokens(2, 5))).shape == (2, 6, 5)


def stretch(by: float) -> Callable[[Row, torch.Tensor], torch.Tensor]:
    return lambda row, d: d * by


@pytest.mark.parametrize("per", ["layer", "shared"])
def test_an_edit_to_ones_is_the_unit_parametrization(per: str) -> None:
    model = moved(Decoder(config(per=per, per_head=True), seed=0))
    unit = Decoder(config("integer"), seed=0)
    unit.load_state_dict(
        {name: t for name, t in model.state_dict().items() if not name.startswith("increment_modules.")}
    )
    met = []
    edited = model(tokens(2, 30), edit=lambda row, d: met.append(row) or torch.ones_like(d))
    assert tuple(met) == model.rows and len(model.rows) == (4 if per == "shared" else 8)
    assert torch.equal(edited.logits, unit.eval()(tokens(2, 30)).logits)
    assert not torch.allclose(edited.logits, model(tokens(2, 30)).logits, atol=1e-3)


def test_a_constant_stretch_is_scaled_positions() -> None:
    model = moved(Decoder(config("integer"), seed=0))
    scaled = model(tokens(2, 30), torch.arange(30).expand(2, 30) * 3)
    assert torch.allclose(model(tokens(2, 30), edit=stretch(3.0)).logits, scaled.logits, atol=1e-5)


def test_an_edit_meets_every_line_once_and_can_drag_a_single_gap() -> None:
    model = moved(Decoder(config(per_head=True), seed=0))
    met = []

    def drag(row: Row, d: torch.Tensor) -> torch.Tensor:
        met.append(row)
        assert d.shape == (1, 12)
        return d if row != Row(1, 2) else d.index_fill(1, torch.tensor([5]), 4.0)

    activations = ["positions.1"]
    before = model(tokens(1, 12), activations=activations)
    after = model(tokens(1, 12), activations=activations, edit=drag)
    assert tuple(met) == model.rows
    moved_by = after.activations["positions.1"] - before.activations["positions.1"]
    assert torch.allclose(moved_by[0, :5], torch.zeros(5, 4), atol=1e-5)
    assert torch.allclose(moved_by[0, :, [0, 1, 3]], torch.zeros(12, 3), atol=1e-5)
    jump = 4.0 - (1 + before.r[1][0, 5, 2])
    assert torch.allclose(moved_by[0, 5:, 2], jump.expand(7), atol=1e-5)
    assert increments_of(after)[0, 6, 5].item() == pytest.approx(4.0)


@pytest.mark.parametrize("symbol", [-1, 257])
def test_tokens_outside_the_vocabulary_are_refused(symbol: int) -> None:
    with pytest.raises(UserError, match="expected tokens from 0 to 256, got some"):
        Decoder(config(), seed=0)(torch.tensor([[5, symbol]]))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"hidden_size": 30, "num_heads": 4}, "hidden_size 30 must be a multiple of 2 x num_heads = 8"),
        ({"num_heads": 4, "num_kv_heads": 3}, "num_heads 4 must be a multiple of num_kv_heads 3"),
        ({"encoding": "sinus"}, "'rope' or 'pope'"),
        ({"decay": "fast"}, "'alibi', 'forget' or 'shared-forget'"),
        ({"rope_theta": float("inf")}, "finite"),
        ({"depth": 2}, "Extra inputs"),
    ],
)
def test_shapes_that_cannot_be_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DecoderConfig(**wrong)
