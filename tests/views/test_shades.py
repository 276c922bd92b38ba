import itertools

import numpy as np

from ropewalk.views.shades import BACKWARD, LEAST, STOPS, shade, top


def lightness(color: str) -> float:
    """Relative luminance (0 black, 1 white) of "#rrggbb"."""
    parts = np.array([int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_wider_gaps_are_darker_without_need_of_hue() -> None:
    shades = [shade(gap, 5) for gap in np.linspace(1.03, 5, 50)]
    light = [lightness(color) for color in shades if color]
    assert len(light) == 50 and all(a > b for a, b in itertools.pairwise(light))
    assert shade(5, 5) == shade(50, 5) == STOPS[-1]


def test_black_letters_stay_readable_on_every_shade() -> None:
    for color in (*STOPS, BACKWARD):
        assert (lightness(color) + 0.05) / (lightness("#1b1b1b") + 0.05) >= 4.5  # WCAG 2.2, level AA


def test_gaps_up_to_one_unit_are_not_tinted_and_steps_back_are_blue() -> None:
    assert (
        shade(1, 5) is None
        and shade(1.015, 1.2) is None
        and shade(0, 5) is None
        and shade(float("nan"), 5) is None
    )
    assert shade(-0.1, 5) == BACKWARD


def test_a_rare_outlier_does_not_bleach_the_rest() -> None:
    gaps = np.array([[np.nan] + [1.0] * 500 + [4.0] * 100 + [90.0]])
    assert top(gaps) == 4
    assert top(np.array([[np.nan]])) == top(np.array([[np.nan, 1.1]])) == LEAST
