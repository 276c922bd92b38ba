"""A trace in a notebook: the page in a frame of its own, which follows the notebook's theme; alone, or as a widget.

`fragment` is HTML for any notebook, independent of a kernel. `widget` needs anywidget, works in Jupyter, VS Code, Colab and
marimo, and says what its reader chose.
"""

from __future__ import annotations

import html as escaping
from functools import cache
from importlib.resources import files
from typing import Any

from ropewalk.errors import UserError
from ropewalk.traces.trace import Trace
from ropewalk.views.labels import visible
from ropewalk.views.page import note

_FRAME = "width:100%;border:0;border-radius:8px;height:"
_LISTEN = """
if (!window.ropewalkListens) {
  window.ropewalkListens = true;
  addEventListener("message", (event) => document.querySelectorAll("iframe").forEach((frame) => answer(frame, event)));
}
"""
_RENDER = """
export default {
  render({ model, el }) {
    const frame = document.createElement("iframe");
    frame.title = "ropewalk";
    frame.sandbox = "allow-scripts allow-downloads";
    frame.style = "width:100%;border:0;border-radius:8px;height:420px";
    const hear = (event) => answer(frame, event, (chosen) => {
      model.set("chosen", chosen);
      model.save_changes();
    });
    const show = () => frame.srcdoc = model.get("html");
    addEventListener("message", hear);
    model.on("change:html", show);
    show();
    el.append(frame);
    return () => removeEventListener("message", hear);
  },
};
"""


def fragment(trace: Trace, *, height: int | None = None) -> str:
    """The page inside an iframe, for a notebook's output: independent of every other output and of a kernel.

    height: of the frame in pixels until the page says what it needs; by default an estimate, at most 760. Where the
    notebook runs no scripts, the page follows the system's theme.
    """
    if height is None:
        rows = len({row.layer for row in trace.rows}) + 1
        height = min(760, 250 + (1 + len(trace.cells()) // 55) * (rows * 44 + 34))
    page = escaping.escape(note(trace), quote=True)
    title = escaping.escape(f"ropewalk: {visible(trace.text[:40])}", quote=True)
    return (
        f'<iframe title="{title}" sandbox="allow-scripts allow-downloads" loading="lazy" '
        f'style="{_FRAME}{height}px" srcdoc="{page}"></iframe>'
        f"<script>(() => {{\n{_script()}{_LISTEN}}})();</script>"
    )


def widget(trace: Trace) -> Any:
    """An anywidget that shows a trace: set `trace` to show another; `chosen` holds the cell, row and pins that were chosen.

    UserError where anywidget is not installed.
    """
    return _widget_class()(trace)


def png(trace: Trace) -> bytes | None:
    """A still picture for where no page is shown; None where matplotlib or its fonts are missing, or the text is too long."""
    from ropewalk.views import figure

    try:
        return figure.png(trace)
    except UserError:
        return None


def _script() -> str:
    return files("ropewalk").joinpath("views/notebook.js").read_text("utf-8")


@cache
def _widget_class() -> Any:
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise UserError(
            "a widget needs anywidget, which is not installed; run: pip install 'ropewalk[notebook]'"
        ) from error

    class TraceWidget(anywidget.AnyWidget):  # type: ignore[misc, unused-ignore]
        _esm = _script() + _RENDER
        html = traitlets.Unicode().tag(sync=True)
        chosen = traitlets.Dict().tag(sync=True)

        def __init__(self, trace: Trace) -> None:
            super().__init__(html=note(trace))
            self._trace = trace

        @property
        def trace(self) -> Trace:
            return self._trace

        @trace.setter
        def trace(self, trace: Trace) -> None:
            self._trace = trace
            self.html = note(trace)

    return TraceWidget
