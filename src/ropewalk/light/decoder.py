"""The native decoder's pass in NumPy, float32, one row of tokens.

A second telling of `ropewalk.decoder` and its rooms, which the tests hold to the first: RoPE without a decay and the
laws `positive`, `bounded` and `signed`. Knows neither texts nor files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ropewalk.lines import Line, layer_lines

FLAT = 30.0  # as in ropewalk.increments
EPS = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Light:
    """A model: `shape` and `law` as a model folder's config tells them, all values known; `weights`, float32, by the
    decoder's names; `provenance` with its name, hash and version.
    """

    shape: dict[str, Any]
    law: dict[str, Any]
    weights: dict[str, np.ndarray]
    provenance: dict[str, Any]

    @property
    def shared(self) -> bool:
        return self.law["per"] == "shared"

    @property
    def keys(self) -> int:
        return self.shape["key_heads"] or self.shape["heads"]

    @property
    def size(self) -> int:
        return self.shape["width"] // self.shape["heads"]

    @property
    def walks(self) -> int:
        return 1 if self.shared else self.shape["layers"]

    @property
    def lines(self) -> tuple[Line, ...]:
        count = self.keys if self.law["lines"] == "key_head" else 1
        layers = [None] if self.shared else list(range(self.shape["layers"]))
        return tuple(line for layer in layers for line in layer_lines(layer, count))

    @property
    def context(self) -> int:
        return self.shape["context"]

    @property
    def gap(self) -> Literal["before", "after"]:
        return self.law["gap"]

    def describe(self) -> dict[str, Any]:
        """Name, hash and law of the model, as a Trace records them."""
        told: dict[str, Any] = {
            key: self.provenance[key] for key in ("name", "hash", "version") if key in self.provenance
        }
        told |= {"law": self.law["law"], "per": "shared" if self.shared else "layer"}
        return told | ({"ceiling": self.law["ceiling"]} if self.law["law"] == "bounded" else {})

    def __call__(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """tokens (T,) int64 -> increments (N, T) in token-equivalents, and logits (T, V) in nats."""
        x, walked = self.weights["embedding"][tokens], []
        for i in range(self.shape["layers"]):
            if i < self.walks:
                r = self._advance(f"laws.{i}", x)
                cos, sin = self._angles(r)
                walked.append(1 + r.T)
            layer = f"layers.{i}"
            x = x + self._attention(f"{layer}.attention", self._norm(x, f"{layer}.attention_norm"), cos, sin)
            x = x + self._feed(f"{layer}.feed", self._norm(x, f"{layer}.feed_norm"))
        return np.concatenate(walked), self._norm(x, "norm") @ self.weights["embedding"].T

    def _advance(self, of: str, x: np.ndarray) -> np.ndarray:
        """r = d - 1 of one walk (T, G): the increment network, bent by its law.

        No matrix library: it may round the same row differently in another place, and tokens that a law sees alike
        are to walk alike.
        """
        w = self.weights
        h = x if self.law["law"] == "positive" else _rms(x, EPS) * w[f"{of}.norm"]
        u = np.einsum("tc,hc->th", h, w[f"{of}.inner.weight"]) + w[f"{of}.inner.bias"]
        gelu = u * (1 + _erf(u / np.float32(math.sqrt(2)))) / 2
        z = np.einsum("th,gh->tg", gelu, w[f"{of}.outer.weight"]) + w[f"{of}.outer.bias"]
        e = np.expm1(np.minimum(z, FLAT))
        if self.law["law"] == "bounded":
            return (self.law["ceiling"] - 1) * e / (self.law["ceiling"] + e)
        if self.law["law"] == "positive":
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
        exponent = np.arange(0, self.size, 2) / self.size
        angle = p.T[..., None] * (self.shape["theta"] ** -exponent).astype(np.float32)
        return np.cos(angle), np.sin(angle)

    def _attention(self, of: str, x: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
        """Causal mixing of one layer, (T, C) -> (T, C)."""
        length, group = len(x), self.shape["heads"] // self.keys
        q, k, v = (
            self._linear(x, f"{of}.{name}").reshape(length, -1, self.size).transpose(1, 0, 2)
            for name in ("q", "k", "v")
        )
        own = group if len(cos) > 1 else 1  # query heads that read a line of their key head
        q = _turn(q, np.repeat(cos, own, 0), np.repeat(sin, own, 0))
        k, v = np.repeat(_turn(k, cos, sin), group, 0), np.repeat(v, group, 0)
        future = np.triu(np.full((length, length), -np.inf, np.float32), 1)
        scores = q @ k.transpose(0, 2, 1) * np.float32(self.size**-0.5) + future
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = weights @ v / weights.sum(-1, keepdims=True)
        return self._linear(mixed.transpose(1, 0, 2).reshape(length, -1), f"{of}.o")

    def _feed(self, of: str, x: np.ndarray) -> np.ndarray:
        gate = self._linear(x, f"{of}.gate")
        return self._linear(gate / (1 + np.exp(-gate)) * self._linear(x, f"{of}.up"), f"{of}.down")

    def _linear(self, x: np.ndarray, of: str) -> np.ndarray:
        return x @ self.weights[f"{of}.weight"].T

    def _norm(self, x: np.ndarray, of: str) -> np.ndarray:
        return _rms(x, self.shape["eps"]) * self.weights[f"{of}.weight"]


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
