"""Who takes part in the training benchmarks: our parametrizations, and the same shape as other people train it.

Everybody takes the same step: 64 windows of 512 bytes in micro-batches, gradients clipped, fused AdamW. Ours is what
`ropewalk train` does; the others run under bf16 autocast, eager or with every layer compiled.
"""

from __future__ import annotations

import ropewalk  # isort: skip  # noqa: F401 (before torch: it decides how waiting threads wait)

from collections.abc import Callable
from importlib.util import find_spec

import torch
from harness import DEVICE
from plain import Plain
from torch import Tensor, nn

from ropewalk.core import loss
from ropewalk.core.increment_config import IncrementConfig
from ropewalk.native.config import DecoderConfig
from ropewalk.native.decoder import Decoder
from ropewalk.training import execution
from ropewalk.training.optimizer import OptimizerConfig, Optimizers

SHAPE = {
    "vocab_size": 257,
    "hidden_size": 256,
    "num_heads": 8,
    "num_layers": 6,
    "intermediate_size": 1024,
    "context_length": 512,
}
WINDOWS = 64
MICRO = 64 if DEVICE == "cuda" else 16  # on a CPU what `ropewalk train` chooses
PARAMETRIZATIONS = {
    "integer RoPE": IncrementConfig(parametrization="integer"),
    "shared": IncrementConfig(parametrization="positive", per="shared"),
    "per-layer": IncrementConfig(parametrization="bounded", per="layer"),
    "per-layer, per-head": IncrementConfig(parametrization="bounded", per="layer", per_head=True),
}
Step = Callable[[], None]


def operations() -> float:
    """Floating-point operations of integer RoPE's step: 6 per weight of a matrix and token, the tied head's among
    them, and 6 x layers x context x width per token for causal attention (half of the score matrix).
    """
    width = SHAPE["hidden_size"]
    weights = (
        SHAPE["num_layers"] * (4 * width**2 + 3 * width * SHAPE["intermediate_size"])
        + SHAPE["vocab_size"] * width
    )
    mixing = SHAPE["num_layers"] * SHAPE["context_length"] * width
    return 6.0 * (weights + mixing) * WINDOWS * SHAPE["context_length"]


def decoder(increments: IncrementConfig) -> Decoder:
    """A native decoder of the common shape."""
    return Decoder(DecoderConfig(**SHAPE, increments=increments), seed=0)  # type: ignore[arg-type]


def text() -> Tensor:
    """One batch of made-up bytes; the arithmetic does not depend on what they are."""
    chance = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (WINDOWS, SHAPE["context_length"] + 1), generator=chance).to(DEVICE)


def native(increments: IncrementConfig, batch: Tensor, *, micro: int = MICRO, **wishes: bool) -> Step:
    """A step as `ropewalk train` does it; wishes as `ropewalk.training.execution.plan_execution` takes them."""
    plan, notes = execution.plan_execution(DEVICE, **wishes)
    for note in notes:
        print(note)
    model = decoder(increments)
    execution.apply_plan(plan, model).train()
    optimizers = Optimizers(model, OptimizerConfig())

    def step() -> None:
        for part in batch.split(micro):
            loss.nats(model(part[:, :-1]).logits, part[:, 1:]).backward()
        optimizers.step(1.0)

    return step


def foreign(model: nn.Module, logits: Callable[[Tensor], Tensor], batch: Tensor) -> Step:
    """A step of somebody else's model under bf16 autocast."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, fused=True)

    def step() -> None:
        for part in batch.split(MICRO):
            with torch.autocast(DEVICE, torch.bfloat16):
                out = logits(part[:, :-1])
            loss.nats(out, part[:, 1:]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def llama(batch: Tensor, compiled: bool) -> Step:
    """Hugging Face's Llama with its default attention."""
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM(llama_config(**SHAPE)).to(DEVICE).train()
    if compiled:
        for layer in model.model.layers:
            layer.compile()
    return foreign(model, lambda tokens: model(tokens, use_cache=False).logits, batch)


def llama_config(
    *,
    vocab_size: int,
    hidden_size: int,
    num_heads: int,
    num_layers: int,
    intermediate_size: int,
    context_length: int,
):  # type: ignore[no-untyped-def]
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        num_hidden_layers=num_layers,
        num_attention_heads=num_heads,
        max_position_embeddings=context_length,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
    )


def plain(batch: Tensor, complex_numbers: bool, compiled: bool) -> Step:
    model = Plain(SHAPE, complex_numbers).to(DEVICE)
    if compiled:
        for layer in model.layers:
            layer.compile()
    return foreign(model, model, batch)


def x_transformers(batch: Tensor) -> Step:
    """Phil Wang's x-transformers with rotary positions and torch's attention."""
    from x_transformers import Decoder as Layers
    from x_transformers import TransformerWrapper

    layers = Layers(
        dim=SHAPE["hidden_size"],
        depth=SHAPE["num_layers"],
        heads=SHAPE["num_heads"],
        attn_dim_head=SHAPE["hidden_size"] // SHAPE["num_heads"],
        ff_mult=SHAPE["intermediate_size"] / SHAPE["hidden_size"],
        rotary_pos_emb=True,
        rotary_emb_dim=SHAPE["hidden_size"] // SHAPE["num_heads"],
        use_rmsnorm=True,
        ff_swish=True,
        ff_glu=True,
        ff_no_bias=True,
        attn_flash=True,
    )
    model = TransformerWrapper(
        num_tokens=SHAPE["vocab_size"],
        max_seq_len=SHAPE["context_length"],
        use_abs_pos_emb=False,
        tie_embedding=True,
        attn_layers=layers,
    ).to(DEVICE)
    return foreign(model, model, batch)


def rivals(batch: Tensor) -> dict[str, Step]:
    """All of them; x-transformers where it is installed (the group `bench`)."""
    others = {
        "Hugging Face Llama": llama(batch, compiled=False),
        "Hugging Face Llama, compiled layers": llama(batch, compiled=True),
        "plain SDPA decoder": plain(batch, complex_numbers=False, compiled=False),
        "plain SDPA decoder, compiled layers": plain(batch, complex_numbers=False, compiled=True),
        "plain decoder, complex rotary": plain(batch, complex_numbers=True, compiled=False),
    }
    if find_spec("x_transformers"):
        others["x-transformers, rotary"] = x_transformers(batch)
    else:
        print("x-transformers is left out: pip install 'ropewalk[bench]'")
    return others
