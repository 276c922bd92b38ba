"""Reads a `.pt` checkpoint of the published experiment: https://github.com/brendanlong/learned-position-increments-experiment.

Such a file holds `model_config` (plain values), `model_state_dict` (tensors) and `step`. It is not unpickled, see
`ropewalk.native.torch_archive`. Shapes are compared with the architecture before a model is built. What this decoder
cannot compute (LayerNorm, GELU layers, the published form of PoPE) is refused.

Differences of form: there neighboring channels rotate together, here channel i and channel i + D/2; there the start
d = 1 is part of the output bias, here it is part of the activation.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from ropewalk.core.increment_config import IncrementConfig
from ropewalk.errors import UserError, first_problem
from ropewalk.native.config import DecoderConfig
from ropewalk.native.decoder import Decoder
from ropewalk.native.torch_archive import read_archive
from ropewalk.system.files import sha256

SOURCE = "https://github.com/brendanlong/learned-position-increments-experiment"
MAX_INCREMENT = 10.0
POSITIVE_BIAS = math.log(math.e - 1)
BOUNDED_BIAS = -math.log(MAX_INCREMENT - 1)
LAYER = {
    "attn_norm": "attention_norm",
    "attn.wq": "attention.q",
    "attn.wk": "attention.k",
    "attn.wv": "attention.v",
    "attn.wo": "attention.o",
    "ffn_norm": "mlp_norm",
    "ffn.w_gate": "mlp.gate",
    "ffn.w_up": "mlp.up",
    "ffn.w_down": "mlp.down",
}
NETWORK = {"fc1": "hidden", "fc2": "output"}

State = dict[str, Tensor]


class PublishedConfig(BaseModel):
    """The published `model_config`; keys that follow from others are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)

    dim: int
    n_heads: int
    n_layers: int
    intermediate_dim: int
    vocab_size: int
    max_seq_len: int
    rope_theta: float
    norm_eps: float
    pos_encoding: str
    norm_type: str = "rmsnorm"
    activation: str = "swiglu"
    delta_hidden_dim: int | None = None
    per_layer_delta: bool = False
    per_head_delta: bool = False
    decay: str = "none"


def read_published(path: str | Path) -> Decoder:
    """The model in a published checkpoint, in float32 and evaluation mode. UserError for any other file."""
    path = Path(path)
    saved = _contents(path)
    try:
        published = PublishedConfig.model_validate(saved.get("model_config"))
        config = decoder_config(published, frozen="frozen_delta.deltas" in saved["model_state_dict"])
    except (ValidationError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} does not describe a published model ({first_problem(error)}); name a checkpoint of {SOURCE}."
        ) from error
    state = _state(path, saved["model_state_dict"], published, config)
    decoder = Decoder(config, seed=None)
    decoder.load_state_dict(state)
    step = saved.get("step")
    decoder.provenance = {
        "name": path.stem,
        "hash": sha256(path),
        "source": SOURCE,
        **({"published_step": step} if isinstance(step, int) else {}),
    }
    return decoder.eval()


def decoder_config(published: PublishedConfig, frozen: bool = False) -> DecoderConfig:
    """The same architecture as ours. frozen: the increments are a table by token. UserError where there is none."""
    unknown = {
        "norm_type": published.norm_type != "rmsnorm",
        "activation": published.activation != "swiglu",
        "pos_encoding": published.pos_encoding not in ("rope", "selective_rope"),
        "decay": published.decay not in ("none", "alibi", "learned"),
    }
    for name, missing in unknown.items():
        if missing:
            raise UserError(
                f"the checkpoint has {name} = {getattr(published, name)!r}, which ropewalk does not compute; "
                "import one with RMSNorm, SwiGLU and RoPE."
            )
    moving = published.pos_encoding == "selective_rope"
    kind = "bounded" if published.per_layer_delta else "positive"
    increments = IncrementConfig(
        parametrization=("frozen" if frozen else kind) if moving else "integer",
        per="layer" if published.per_layer_delta and not frozen else "shared",
        per_head=moving and published.per_head_delta and not frozen,
        hidden_size=published.delta_hidden_dim or max(1, published.dim // 4),
        max_increment=MAX_INCREMENT,
        init="random",
    )
    return DecoderConfig(
        vocab_size=published.vocab_size,
        context_length=published.max_seq_len,
        hidden_size=published.dim,
        num_heads=published.n_heads,
        num_layers=published.n_layers,
        intermediate_size=published.intermediate_dim,
        rope_theta=published.rope_theta,
        norm_eps=published.norm_eps,
        decay=cast(Any, {"alibi": "alibi", "learned": "shared-forget"}.get(published.decay)),
        increments=increments,
    )


def _contents(path: Path) -> dict[str, Any]:
    """The object in a checkpoint."""
    saved = read_archive(path)
    if not isinstance(saved, dict) or not isinstance(saved.get("model_state_dict"), dict):
        raise UserError(f"{path} holds no model of the published experiment; name a .pt file of {SOURCE}.")
    return saved


def _state(path: Path, saved: dict[Any, Any], published: PublishedConfig, config: DecoderConfig) -> State:
    """The tensors under our names and in our form. UserError for missing, unknown or misshapen ones."""
    if config.num_layers > len(saved):
        raise UserError(f"{path} has fewer tensors than layers; copy it again.")
    try:
        with torch.device("meta"):
            expected = {
                name: tensor.shape for name, tensor in Decoder(config, seed=None).state_dict().items()
            }
    except (RuntimeError, ValueError, OverflowError) as error:
        raise UserError(f"{path} describes a model that cannot be built: {first_problem(error)}.") from error
    found: State = {}
    for name, tensor in saved.items():
        ours = _name(str(name), config)
        shape = expected.get(ours)
        if ours.endswith(".table") and isinstance(tensor, Tensor) and tensor.dim() == 1:
            tensor = tensor[:, None]
        if shape is None or not isinstance(tensor, Tensor) or tensor.shape != shape:
            raise UserError(
                f"{path} does not fit its own description at '{str(name)[:80]}', expected {list(shape or ())}; "
                "copy it again."
            )
        found[ours] = _converted(ours, tensor.float(), config)
    if missing := sorted(expected.keys() - found.keys()):
        raise UserError(f"{path} lacks the tensor '{missing[0]}'; copy it again.")
    return found


def _name(name: str, config: DecoderConfig) -> str:
    """Our name of a published tensor; one that no model has where it is unknown."""
    head, _, rest = name.partition(".")
    if name == "tok_emb.weight":
        return "embedding"
    if head == "final_norm":
        return f"norm.{rest}"
    if head == "layers":
        number, _, rest = rest.partition(".")
        part, _, leaf = rest.rpartition(".")
        return f"layers.{number}.{LAYER.get(part, '?')}.{leaf}"
    if name == "frozen_delta.deltas":
        return "increment_modules.0.table"
    number = "0"
    if head == "delta_mlps":
        number, _, rest = rest.partition(".")
    if head in ("delta_mlp", "delta_mlps", "forget_mlp"):
        part, _, leaf = rest.partition(".")
        ours = "norm" if part == "norm" else f"{NETWORK.get(part, '?')}.{leaf}"
        return f"shared_decay.{ours}" if head == "forget_mlp" else f"increment_modules.{number}.{ours}"
    return "?"


def _converted(name: str, tensor: Tensor, config: DecoderConfig) -> Tensor:
    """A published tensor in our form."""
    if name.endswith(("attention.q.weight", "attention.k.weight")):
        pairs = tensor.view(config.num_heads, config.head_size // 2, 2, config.hidden_size)
        return pairs.transpose(1, 2).reshape(tensor.shape)
    if name.startswith("increment_modules.") and name.endswith("output.bias"):
        bounded = config.increments.parametrization == "bounded"
        return (tensor.double() - (BOUNDED_BIAS if bounded else POSITIVE_BIAS)).float()
    return tensor - 1 if name.endswith(".table") else tensor.contiguous()
