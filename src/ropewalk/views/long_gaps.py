"""Gaps so wide that they would push the rest of their row out of sight are drawn cut short, and marked."""

import numpy as np

LONGEST = 8.0
"""Scene units (means of a row) that one gap takes in a picture of rows at most; the page has the same in scene.js."""


def cut_short(x: np.ndarray, left: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x and left (N, C) of a scene with every gap at most LONGEST wide, and which gaps (N, C) were wider."""
    excess = np.maximum(0.0, x - left - LONGEST)
    shift = np.cumsum(excess, axis=1)
    return x - shift, left - (shift - excess), excess > 0
