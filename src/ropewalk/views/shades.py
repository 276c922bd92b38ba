"""The colour scale of gaps in terminal and figure: white up to one unit, then orange, the widest darkest.

The lightness falls evenly, so that the scale also reads without colour vision and in grey; black
letters stay readable on every shade. A step backwards (a negative gap) is blue.
"""

import numpy as np

STOPS = ("#ffffff", "#fde8c0", "#fbc272", "#f3953a", "#e0701b")
BACKWARD = "#c4daf2"
LEAST = 1.2


def top(gaps: np.ndarray) -> float:
    """The gap that gets the darkest shade: the widest of `gaps` but for rare outliers, at least LEAST units.

    So a model that has bent only a little is readable too; the scale beside the picture says how little.
    """
    known = gaps[np.isfinite(gaps)]
    return max(LEAST, float(np.quantile(known, 0.995)) if known.size else LEAST)


def shade(gap: float, darkest: float) -> str | None:
    """Colour "#rrggbb" of a gap where `darkest` gets the last stop; None up to one unit and for NaN."""
    if gap < 0:
        return BACKWARD
    if not gap > 1:
        return None
    place = min(1.0, (gap - 1) / (darkest - 1)) * (len(STOPS) - 1)
    low = min(int(place), len(STOPS) - 2)
    mixed = _rgb(STOPS[low]) * (low + 1 - place) + _rgb(STOPS[low + 1]) * (place - low)
    return "#" + "".join(f"{round(part):02x}" for part in mixed)


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)], dtype=np.float64)
