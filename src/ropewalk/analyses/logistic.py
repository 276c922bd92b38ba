"""Ridge logistic regression.

Features are standardized with the mean and standard deviation of the data that the model is fitted on. Exact to
rounding: Newton steps, no random numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ropewalk.analyses.statistics import TOLERANCE

RIDGE = 1.0
"""Added to the diagonal of the Hessian, the weight of about one gap: negligible for thousands, a guard for few."""
STEPS = 50


@dataclass(frozen=True, eq=False)
class Logistic:
    """Log-odds = bias + weights . (x - center) / scale."""

    weights: np.ndarray
    bias: float
    center: np.ndarray
    scale: np.ndarray

    def loss(self, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """-log P(label) of each row of x (n, k), nats."""
        z = ((x - self.center) / self.scale) @ self.weights + self.bias
        return np.logaddexp(0.0, np.where(labels, -z, z))


def fit(x: np.ndarray, labels: np.ndarray) -> Logistic:
    """The model of x (n, k) and labels (n,); a feature that never changes, but for rounding, gets no weight."""
    center, scale = x.mean(0), deviation(x)
    a = np.column_stack([np.ones(len(x)), (x - center) / scale])
    y = labels.astype(np.float64)
    w = np.zeros(a.shape[1])
    ridge = np.full(a.shape[1], RIDGE)
    ridge[0] = 1e-9
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(a @ w, -30, 30)))
        gradient = a.T @ (p - y) + ridge * w
        hessian = (a * (p * (1 - p) + 1e-9)[:, None]).T @ a + np.diag(ridge)
        step = np.linalg.solve(hessian, gradient)
        w -= step * min(1.0, 4.0 / max(np.abs(step).max(), 1e-300))
        if np.abs(step).max() < 1e-9:
            break
    return Logistic(w[1:], float(w[0]), center, scale)


def squares(x: np.ndarray, like: np.ndarray) -> np.ndarray:
    """x (n, k), its squares and the products of its columns, centered as `like` (m, k)."""
    k = x.shape[1]
    c = (x - like.mean(0)) / deviation(like)
    return np.column_stack([x, *(c[:, i] * c[:, j] for i in range(k) for j in range(i, k))])


def deviation(x: np.ndarray) -> np.ndarray:
    """The standard deviation of each column; 1 where it is rounding, so that rounding stays small."""
    std = x.std(0)
    return np.where(std > TOLERANCE, std, 1.0)
