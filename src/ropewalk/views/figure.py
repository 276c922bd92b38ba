"""The picture: every character at its learned position, a row per row of the trace, threads from row to row.

The top row has even spacing, as in a model without learned increments. In the rows below, each cell is at its learned
position; the gap before it is tinted the more it exceeds one unit, and thin threads follow each cell down. Above 8
rows or 300 tokens the picture is a heat map, see `views.heat_picture`. Drawn with matplotlib, without pyplot and
without a display.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ropewalk.errors import UserError
from ropewalk.system.files import write_atomically
from ropewalk.traces.trace import Trace
from ropewalk.views.rows import choose
from ropewalk.views.scene import ACCEPTS, scene
from ropewalk.views.sparklines import is_large

FORMATS = {".png": {"Software": "ropewalk"}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
MOST_CELLS = 1_500
"""Cells of a text in a picture of rows: more take minutes and gigabytes."""
SETTINGS = {"text.usetex": False, "svg.fonttype": "path", "svg.hashsalt": "ropewalk", "path.sketch": None}


def draw(
    trace: Trace,
    *,
    scale: str = "row",
    placement: str = "first",
    layers: Sequence[int] | None = None,
    heads: bool = False,
    title: str | None = None,
    heat_map: bool | None = None,
) -> Any:
    """A matplotlib Figure of `trace` (increment, position or sensitivity).

    scale and placement: see `views.scene`. layers: only these rows. heads: a row per head instead
    of the mean of a layer's heads. title: in place of the default one. heat_map: None for one above 8 rows or 300 tokens. A text of more than about
    60 cells is wrapped into panels. UserError for another kind of trace, for layers it does not
    have, for a text too long for a picture, and where matplotlib or a font for Chinese, Japanese or Korean text is not installed.
    """
    matplotlib = _matplotlib()
    trace.require(*ACCEPTS)
    shown = choose(trace, layers, heads)
    drawn = scene(shown, scale, placement)
    if heat_map is None:
        heat_map = is_large(shown)
    if not heat_map and len(drawn.cells) > MOST_CELLS:
        raise UserError(
            f"expected a text of at most {MOST_CELLS:,} characters or tokens for this picture, got {len(drawn.cells):,}; "
            "draw a heat map instead, or choose a part of the text."
        )
    with matplotlib.rc_context(SETTINGS):
        if heat_map:
            from ropewalk.views import heat_picture

            return heat_picture.draw(trace, shown, drawn if scale != "integer" else scene(shown), title)
        from ropewalk.views.picture import Picture

        return Picture(trace, shown, drawn, title).figure


def save(trace: Trace, path: str | Path, **options: Any) -> None:
    """Write `draw(trace, **options)` to `path` as .png, .svg or .pdf, whole or not at all.

    Writing in an .svg is drawn as paths, so that it looks the same on every machine. The same
    trace gives the same bytes. UserError for another suffix.
    """
    _matplotlib()
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise UserError(f"expected a picture ending in {', '.join(FORMATS)}, got {path.name}; rename it.")
    write_atomically(path, _render(trace, suffix, 160, options))


def png(trace: Trace, **options: Any) -> bytes:
    """`draw(trace, **options)` as a PNG of a notebook's resolution."""
    return _render(trace, ".png", 110, options)


def _render(trace: Trace, suffix: str, dpi: int, options: dict[str, Any]) -> bytes:
    figure = draw(trace, **options)
    out = io.BytesIO()
    with _matplotlib().rc_context(SETTINGS):
        figure.savefig(out, format=suffix[1:], dpi=dpi, metadata=FORMATS[suffix])
    return out.getvalue()


def _matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise UserError(
            "drawing needs matplotlib, which is not installed; run: pip install 'ropewalk[pictures]'"
        ) from error
    return matplotlib
