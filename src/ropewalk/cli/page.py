"""ropewalk page and film: files to look at, mail and publish."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ropewalk.cli.printing import echo
from ropewalk.cli.view import SENTENCE

if TYPE_CHECKING:
    from ropewalk.traces.trace import Trace


def page(
    traces: Annotated[
        list[Path], typer.Argument(help="Saved traces (.json, .json.gz); several are compared.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write, ending in .html.")] = Path(
        "page.html"
    ),
    name: Annotated[
        list[str] | None, typer.Option(help="What a trace is called; once per trace, in order.")
    ] = None,
    overlay: Annotated[
        list[str] | None, typer.Option(help="Boundaries to mark: 'entropy', 'jieba'; may be repeated.")
    ] = None,
    boundaries: Annotated[
        list[Path] | None,
        typer.Option(help='Boundaries from a JSON file: {"offsets": [bytes]} or {"words": [pieces]}.'),
    ] = None,
    layers: Annotated[
        str | None, typer.Option(help="Show only these layers at first, such as 0-5,12.")
    ] = None,
) -> None:
    """Write one self-contained page that opens with a double click, without a network.

    Examples:

      ropewalk page letter.json --out letter.html

      ropewalk page before.json after.json --name before --name after

      ropewalk page chinese.json --overlay jieba --overlay entropy
    """
    from ropewalk.cli.options import one_of, writable
    from ropewalk.system.files import write_atomically
    from ropewalk.traces.trace import Trace
    from ropewalk.views import overlays
    from ropewalk.views import page as pages
    from ropewalk.views.rows import read_layers

    writable(out, "html")
    for wanted in overlay or []:
        one_of("--overlay", wanted, tuple(overlays.SOURCES))
    loaded = [Trace.load(path) for path in traces]
    marks = []
    for text, trace in {trace.text: trace for trace in loaded}.items():
        marks += [overlays.SOURCES[wanted](trace) for wanted in overlay or []]
        marks += [overlays.read(path, text) for path in boundaries or []]
    chosen = None if layers is None else read_layers(layers)
    html = pages.html(loaded, marks, names=name or None, layers=chosen).encode()
    write_atomically(out, html)
    echo(f"wrote {out} ({len(html) / 1000:.0f} kB)", err=True)


def film(
    run: Annotated[Path, typer.Argument(help="A run folder: its checkpoints are the frames.")],
    text: Annotated[str, typer.Option(help="The sentence to film.")] = SENTENCE,
    out: Annotated[Path, typer.Option("--out", "-o", help="The film to write: .gif or .html.")] = Path(
        "film.gif"
    ),
) -> None:
    """Animate the increments of a sentence over the course of a training run, from its checkpoints.

    Training keeps only its newest checkpoints; set train.keep higher for a longer film.

    Examples:

      ropewalk film runs/mine --out film.gif

      ropewalk film runs/mine --text "我在北京大学学习。" --out film.html
    """
    from ropewalk.views import film as films

    frames, names = _frames(run, text)
    films.save(frames, out, names=names)
    echo(f"wrote {out}: {len(frames)} checkpoints", err=True)


def _frames(run: Path, text: str) -> tuple[list[Trace], list[str]]:
    from ropewalk.errors import UserError
    from ropewalk.loading import load
    from ropewalk.measure.capture import trace

    found = sorted((run / "checkpoints").glob("step-*")) if run.is_dir() else []
    if len(found) < 2:
        raise UserError(
            f"expected a run with at least two checkpoints, got {len(found)} in {run / 'checkpoints'}; "
            "name the folder of a run, or train with a larger keep."
        )
    return [trace(load(one), text) for one in found], [f"step {int(one.name[5:]):,}" for one in found]
