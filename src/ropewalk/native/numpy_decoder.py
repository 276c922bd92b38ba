"""The native decoder's pass in NumPy, float32, one row of tokens.

A second telling of `ropewalk.native.decoder` and its rooms, which the tests hold to the first: RoPE without a decay and the
parametrizations `positive`, `bounded` and `signed`. Knows neither texts nor files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ropewalk.core.rows import Row
from ropewalk.native.config import DecoderConfig

FLAT = 30.0  # as in ropewalk.core.increments
EPS = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class NumpyDecoder:
    """A model: its config, its float32 weights by the names of the PyTorch decoder, and its provenance."""

    config: DecoderConfig
    weights: dict[str, np.ndarray]
    provenance: dict[str, Any]

    @property
    def num_modules(self) -> int:
        """How many layers emit increments of their own."""
        return 1 if self.config.increments.shared else self.config.num_layers

    @property
    def rows(self) -> tuple[Row, ...]:
        return self.config.rows

    @property
    def context_length(self) -> int:
        return self.config.context_length

    @property
    def gap(self) -> Literal["before", "after"]:
        return self.config.increments.gap

    def describe(self) -> dict[str, Any]:
        """Name, hash and parametrization of the model, as a Trace records them."""
        told: dict[str, Any] = {
            key: self.provenance[key] for key in ("name", "hash", "version") if key in self.provenance
        }
        increments = self.config.increments
        told |= {
            "parametrization": increments.parametrization,
            "per": "shared" if increments.shared else "layer",
        }
        bounded = increments.parametrization == "bounded"
        return told | ({"max_increment": increments.max_increment} if bounded else {})

    def __call__(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """tokens (T,) int64 -> increments (N, T) in token-equivalents, and logits (T, V) in nats."""
        x, walked = self.weights["embedding"][tokens], []
        for i in range(self.config.num_layers):
            if i < self.num_modules:
                r = self._advance(f"increment_modules.{i}", x)
                cos, sin = self._angles(r)
                walked.append(1 + r.T)
            layer = f"layers.{i}"
            x = x + self._attention(f"{layer}.attention", self._norm(x, f"{layer}.attention_norm"), cos, sin)
            x = x + self._feed(f"{layer}.feed", self._norm(x, f"{layer}.feed_norm"))
        return np.concatenate(walked), self._norm(x, "norm") @ self.weights["embedding"].T

    def _advance(self, of: str, x: np.ndarray) -> np.ndarray:
        """r = d - 1 of one walk (T, G): the increment network, bent by its parametrization.

        No matrix library: it may round the same row differently in another place, and tokens that a parametrization sees alike
        are to walk alike.
        """
        w = self.weights
        h = x if self.config.increments.parametrization == "positive" else _rms(x, EPS) * w[f"{of}.norm"]
        u = np.einsum("tc,hc->th", h, w[f"{of}.inner.weight"]) + w[f"{of}.inner.bias"]
        gelu = u * (1 + _erf(u / np.float32(math.sqrt(2)))) / 2
        z = np.einsum("th,gh->tg", gelu, w[f"{of}.outer.weight"]) + w[f"{of}.outer.bias"]
        e = np.expm1(np.minimum(z, FLAT))
        if self.config.increments.parametrization == "bounded":
            return (self.config.increments.max_increment - 1) * e / (self.config.increments.max_increment + e)
        if self.config.increments.parametrization == "positive":
            low = 1 - 1 / math.e
            return np.where(z > FLAT, z + math.log(low), np.log1p(low * e))
        return z

    def _angles(self, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cosines and sines (G, T, D/2) of the positions that r (T, G) walks; their sum runs in float64.

        The first r is not left out: that moves all positions alike, and only their differences reach attention.
        """
        s = r.astype(np.float64)
        running = s.cumsum(0) - (0 if self.gap == "before" else s)
        p = (np.arange(len(r))[:, None] + running).astype(np.float32)
        exponent = np.arange(0, self.config.head_size, 2) / self.config.head_size
        angle = p.T[..., None] * (self.config.rope_theta**-exponent).astype(np.float32)
        return np.cos(angle), np.sin(angle)

    def _attention(self, of: str, x: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
        """Causal mixing of one layer, (T, C) -> (T, C)."""
        length, group = len(x), self.config.num_heads // self.config.kv_heads
        q, k, v = (
            self._linear(x, f"{of}.{name}").reshape(length, -1, self.config.head_size).transpose(1, 0, 2)
            for name in ("q", "k", "v")
        )
        own = group if len(cos) > 1 else 1  # query heads that read a line of their key head
        q = _turn(q, np.repeat(cos, own, 0), np.repeat(sin, own, 0))
        k, v = np.repeat(_turn(k, cos, sin), group, 0), np.repeat(v, group, 0)
        future = np.triu(np.full((length, length), -np.inf, np.float32), 1)
        scores = q @ k.transpose(0, 2, 1) * np.float32(self.config.head_size**-0.5) + future
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = weights @ v / weights.sum(-1, keepdims=True)
        return self._linear(mixed.transpose(1, 0, 2).reshape(length, -1), f"{of}.o")

    def _feed(self, of: str, x: np.ndarray) -> np.ndarray:
        gate = self._linear(x, f"{of}.gate")
        return self._linear(gate / (1 + np.exp(-gate)) * self._linear(x, f"{of}.up"), f"{of}.down")

    def _linear(self, x: np.ndarray, of: str) -> np.ndarray:
        return x @ self.weights[f"{of}.weight"].T

    def _norm(self, x: np.ndarray, of: str) -> np.ndarray:
        return _rms(x, self.config.norm_eps) * self.weights[f"{of}.weight"]


def nats(logits: np.ndarray, following: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What logits (T, V) expected of the next tokens (T,): -log P, and the entropy before each, in nats."""
    above = logits - logits.max(-1, keepdims=True)
    log = above - np.log(np.exp(above).sum(-1, keepdims=True))
    return -np.take_along_axis(log, following[:, None], 1)[:, 0], -(np.exp(log) * log).sum(-1)


def _rms(x: np.ndarray, eps: float) -> np.ndarray:
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(eps))


def _turn(x: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
    """Turns the pairs (i, i + D/2) of x (H, T, D) by angles (H or 1, T, D/2)."""
    a, b = np.split(x, 2, -1)
    return np.concatenate([a * cos - b * sin, a * sin + b * cos], -1)


def _erf(x: np.ndarray) -> np.ndarray:
    return np.fromiter(map(math.erf, x.ravel().tolist()), np.float32, x.size).reshape(x.shape)
