"""The color scale of gaps in terminal and figure: white up to one unit, then orange, the widest darkest.

The lightness falls evenly, so that the scale also reads without color vision and in gray; black
letters stay readable on every shade. A step backwards (a negative gap) is blue.
"""

import numpy as np

STOPS = ("#fdf4e3", "#fde5b8", "#fbc272", "#f3953a", "#e0701b")
BACKWARD = "#c4daf2"
LEAST = 1.2
FAINTEST = 1.02
"""Gaps up to this many units are not tinted, so that a row without contrast looks even; the page has the same in color.js."""


def top(gaps: np.ndarray) -> float:
    """The gap that gets the darkest shade: the widest of `gaps` but for rare outliers, at least LEAST units.

    So a model with weak contrast is readable, too; the legend says how weak it is.
    """
    known = gaps[np.isfinite(gaps)]
    return max(LEAST, float(np.quantile(known, 0.995)) if known.size else LEAST)


def shade(gap: float, darkest: float) -> str | None:
    """Color "#rrggbb" of a gap where `darkest` gets the last stop; None up to FAINTEST and for NaN."""
    if gap < 0:
        return BACKWARD
    if not gap > FAINTEST:
        return None
    place = min(1.0, (gap - 1) / (darkest - 1)) * (len(STOPS) - 1)
    low = min(int(place), len(STOPS) - 2)
    mixed = _rgb(STOPS[low]) * (low + 1 - place) + _rgb(STOPS[low + 1]) * (place - low)
    return "#" + "".join(f"{round(part):02x}" for part in mixed)


def heat_limits(gaps: np.ndarray, logarithmic: bool = False) -> tuple[float, float]:
    """The gaps at both ends of a heat map's scale, around the mean 1: all but rare outliers lie between them."""
    known = gaps[np.isfinite(gaps)]
    if not known.size:
        return 1 / LEAST, LEAST
    high = max(LEAST, float(np.quantile(known, 0.99)))
    low = min(1 / LEAST, float(np.quantile(known, 0.01)))
    return (max(low, high**-2, 1e-6), high) if logarithmic else (low, high)


def heat_share(gaps: np.ndarray, low: float, high: float, logarithmic: bool = False) -> np.ndarray:
    """Places on the scale: 0 at `low`, a half at the mean 1, 1 at `high`; outside of 0..1 beyond it, NaN for NaN."""
    if logarithmic:
        gaps = np.log(np.maximum(np.where(gaps > 0, gaps, np.where(np.isnan(gaps), np.nan, 1e-9)), 1e-9))
        low, high, middle = float(np.log(low)), float(np.log(high)), 0.0
    else:
        middle = 1.0
    below = 0.5 * (gaps - low) / (middle - low)
    above = 0.5 + 0.5 * (gaps - middle) / (high - middle)
    return np.where(gaps > middle, above, below)


def _rgb(color: str) -> np.ndarray:
    return np.array([int(color[start : start + 2], 16) for start in (1, 3, 5)], dtype=np.float64)
