"""The native decoder's forward pass in NumPy, float32, one sequence.

It is here for the base install, which has no torch: tracing a model needs nothing else, and starts ten times faster.
RoPE without decay, the parametrizations in `RUNS`. `tests/parity` compares it with `ropewalk.native.decoder`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.native.config import DecoderConfig
from ropewalk.native.host_properties import HostProperties

if TYPE_CHECKING:
    from ropewalk.tokens.tokenizer_file import FileTokenizer

SATURATION = 30.0  # as in ropewalk.core.increments
EPS = float(np.finfo(np.float32).eps)

RUNS = frozenset(
    {
        "integer",
        "positive",
        "bounded",
        "signed",
        "constant",
        "table",
        "frozen",
        "random",
        "free",
        "coordinate",
    }
)
"""The parametrizations that `NumpyDecoder` computes."""


@dataclass(frozen=True)
class NumpyDecoder(HostProperties):
    """A model: its config, its float32 weights by the names of the PyTorch decoder, and its provenance."""

    config: DecoderConfig
    weights: dict[str, np.ndarray]
    provenance: dict[str, Any]
    own_tokenizer: FileTokenizer | None = None

    def __call__(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """tokens (T,) int64 -> increments (N, T) in token-equivalents, and logits (T, V)."""
        x = embedded = self.weights["embedding"][tokens]
        emitted = []
        for i in range(self.config.num_layers):
            if i < self.config.num_increment_modules:
                read = embedded if self.config.increments.reads == "embedding" else x
                r = self._increments(f"increment_modules.{i}", read, tokens)
                cos, sin = self._angles(r)
                emitted.append(1 + r.T)
            layer = f"layers.{i}"
            x = x + self._attention(f"{layer}.attention", self._norm(x, f"{layer}.attention_norm"), cos, sin)
            x = x + self._mlp(f"{layer}.mlp", self._norm(x, f"{layer}.mlp_norm"))
        return np.concatenate(emitted), self._norm(x, "norm") @ self.weights["embedding"].T

    def _increments(self, module: str, x: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """r = d - 1 (T, G) of one increment module."""
        settings, w = self.config.increments, self.weights
        kind = settings.parametrization
        if kind == "integer":
            return np.zeros((len(tokens), 1), np.float32)
        if kind == "frozen":
            return w[f"{module}.table"][tokens]
        if kind == "constant":
            return np.repeat(_positive(w[f"{module}.bias"])[None], len(tokens), 0)
        z = w[f"{module}.weight"][tokens] if kind == "table" else self._network(module, x)
        if kind == "positive":
            return _positive(z)
        if kind in ("bounded", "table"):
            e, maximum = np.expm1(np.minimum(z, SATURATION)), settings.max_increment
            return (maximum - 1) * e / (maximum + e)
        if kind == "random":
            s = math.sqrt(math.log1p(settings.std**2))
            return np.expm1(np.minimum(s * z, SATURATION) - s**2 / 2)
        if kind == "coordinate":
            n, limit = np.arange(len(z))[:, None], settings.max_position
            m = np.minimum(n, limit - 1).astype(np.float32)
            e = np.expm1(np.minimum(z, SATURATION)) * (n < limit)
            z = m * (limit - m) * e / (limit + m * e)
        return np.diff(z, axis=0, prepend=np.zeros_like(z[:1])) if settings.absolute else z

    def _network(self, module: str, x: np.ndarray) -> np.ndarray:
        """z (T, G), the output of an increment network.

        einsum instead of a matrix library, which may round equal inputs differently at different places: tokens with the
        same input must get the same increment.
        """
        w = self.weights
        h = x if f"{module}.norm" not in w else _rms(x, EPS) * w[f"{module}.norm"]
        u = np.einsum("tc,hc->th", h, w[f"{module}.hidden.weight"]) + w[f"{module}.hidden.bias"]
        gelu = u * (1 + _erf(u / np.float32(math.sqrt(2)))) / 2
        return np.einsum("th,gh->tg", gelu, w[f"{module}.output.weight"]) + w[f"{module}.output.bias"]

    def _angles(self, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cosines and sines (G, T, D/2) of the positions that follow from r (T, G), summed in float64.

        The first r is not left out: that shifts all positions alike, and only their differences reach attention.
        """
        s = r.astype(np.float64)
        running = s.cumsum(0) - (0 if self.gap == "before" else s)
        p = (np.arange(len(r))[:, None] + running).astype(np.float32)
        exponent = np.arange(0, self.config.head_size, 2) / self.config.head_size
        moving = p.T[..., None]
        if (band := self.config.increments.band) != "all":
            fast = np.arange(len(exponent)) < len(exponent) / 2
            still = np.arange(len(r), dtype=np.float32)[:, None]
            moving = np.where(fast if band == "fast" else ~fast, moving, still)
        angle = moving * (self.config.rope_theta**-exponent).astype(np.float32)
        return np.cos(angle), np.sin(angle)

    def _attention(self, name: str, x: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
        """Causal mixing of one layer, (T, C) -> (T, C)."""
        length, group = len(x), self.config.num_heads // self.config.kv_heads
        q, k, v = (
            self._linear(x, f"{name}.{part}").reshape(length, -1, self.config.head_size).transpose(1, 0, 2)
            for part in ("q", "k", "v")
        )
        own = group if len(cos) > 1 else 1  # query heads that share a row
        q = _rotate(q, np.repeat(cos, own, 0), np.repeat(sin, own, 0))
        k, v = np.repeat(_rotate(k, cos, sin), group, 0), np.repeat(v, group, 0)
        future = np.triu(np.full((length, length), -np.inf, np.float32), 1)
        scores = q @ k.transpose(0, 2, 1) * np.float32(self.config.head_size**-0.5) + future
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = weights @ v / weights.sum(-1, keepdims=True)
        return self._linear(mixed.transpose(1, 0, 2).reshape(length, -1), f"{name}.o")

    def _mlp(self, name: str, x: np.ndarray) -> np.ndarray:
        gate = self._linear(x, f"{name}.gate")
        return self._linear(gate / (1 + np.exp(-gate)) * self._linear(x, f"{name}.up"), f"{name}.down")

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"].T

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        return _rms(x, self.config.norm_eps) * self.weights[f"{name}.weight"]


def unusual(config: DecoderConfig) -> str | None:
    """What NumPy does not compute of a model: another encoding than RoPE, a decay, a parametrization not in `RUNS`."""
    if config.encoding != "rope":
        return f"encoding {config.encoding}"
    if config.decay is not None:
        return f"decay {config.decay}"
    parametrization = config.increments.parametrization
    return None if parametrization in RUNS else f"parametrization {parametrization}"


def runs(config: DecoderConfig) -> bool:
    """Whether NumPy runs a model of this architecture."""
    return unusual(config) is None


def nats(logits: np.ndarray, following: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The surprisal -log P of each next token under logits (T, V), and the entropy of each prediction, in nats."""
    above = logits - logits.max(-1, keepdims=True)
    log = above - np.log(np.exp(above).sum(-1, keepdims=True))
    return -np.take_along_axis(log, following[:, None], 1)[:, 0], -(np.exp(log) * log).sum(-1)


def _rms(x: np.ndarray, eps: float) -> np.ndarray:
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(eps))


def _rotate(x: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
    """Rotates the pairs (i, i + D/2) of x (H, T, D) by angles given as cos and sin (H or 1, T, D/2)."""
    a, b = np.split(x, 2, -1)
    return np.concatenate([a * cos - b * sin, a * sin + b * cos], -1)


def _erf(x: np.ndarray) -> np.ndarray:
    return np.fromiter(map(math.erf, x.ravel().tolist()), np.float32, x.size).reshape(x.shape)


def _positive(z: np.ndarray) -> np.ndarray:
    low = 1 - 1 / math.e
    softplus = np.log1p(low * np.expm1(np.minimum(z, SATURATION)))
    return np.where(z > SATURATION, z + math.log(low), softplus).astype(np.float32)
