"""ropewalk view, page, film, export-site: the pages to look at, mail and publish."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ropewalk.traces.trace import Trace

SENTENCE = "The rope maker walked backwards, and the rope grew longer."


def view(
    models: Annotated[
        list[str] | None, typer.Argument(help="Bundled models or model folders; 'per-layer' when left out.")
    ] = None,
    text: Annotated[str, typer.Option(help="The text to begin with.")] = SENTENCE,
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Open a local page: type, and the layers move; drag a gap, and see what the model makes of it.

    Examples:

      ropewalk view

      ropewalk view per-layer shared --text "北京大学的学生在图书馆。"

      ropewalk view runs/mine/checkpoints/step-00005000 --no-browser --port 8700
    """
    from ropewalk.live import serve
    from ropewalk.live.answers import Model
    from ropewalk.native.checkpoint import load_decoder

    loaded: dict[str, Model] = {}
    for given in models or ["per-layer"]:
        name = Path(given).resolve().name if Path(given).is_dir() else given
        loaded[_unused(name, loaded)] = Model(load_decoder(given))
    serve(loaded, text or SENTENCE, port=port, browser=browser)


def page(
    traces: Annotated[
        list[Path], typer.Argument(help="Saved traces (.json, .json.gz), to compare if several.")
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
) -> None:
    """Write one self-contained page: it opens by a double click, without a network, anywhere.

    Examples:

      ropewalk page letter.json --out letter.html

      ropewalk page before.json after.json --name before --name after

      ropewalk page chinese.json --overlay jieba --overlay entropy
    """
    from ropewalk.cli import inputs
    from ropewalk.cli.options import one_of
    from ropewalk.system.files import write_atomically
    from ropewalk.traces.trace import Trace
    from ropewalk.views import overlays
    from ropewalk.views import page as pages

    inputs.writable(html=out)
    for wanted in overlay or []:
        one_of("--overlay", wanted, tuple(overlays.SOURCES))
    loaded = [Trace.load(path) for path in traces]
    marks = []
    for text, trace in {trace.text: trace for trace in loaded}.items():
        marks += [overlays.SOURCES[wanted](trace) for wanted in overlay or []]
        marks += [overlays.read(path, text) for path in boundaries or []]
    html = pages.html(loaded, marks, names=name or None)
    write_atomically(out, html.encode())
    typer.echo(f"wrote {out} ({len(html.encode()) / 1000:.0f} kB)", err=True)


def film(
    run: Annotated[Path, typer.Argument(help="The folder of a run: its checkpoints are the frames.")],
    text: Annotated[str, typer.Option(help="The sentence to film.")] = SENTENCE,
    out: Annotated[Path, typer.Option("--out", "-o", help="The film to write: .gif or .html.")] = Path(
        "film.gif"
    ),
) -> None:
    """Film a sentence leaving integer spacing as training goes, from a run's checkpoints.

    Training keeps only its newest checkpoints; give it a larger `keep` for a longer film.

    Examples:

      ropewalk film runs/mine --out film.gif

      ropewalk film runs/mine --text "我在北京大学学习。" --out film.html
    """
    from ropewalk.views import film as films

    frames, names = _frames(run, text)
    films.save(frames, out, names=names)
    typer.echo(f"wrote {out}: {len(frames)} checkpoints", err=True)


def export_site(
    folder: Annotated[Path, typer.Argument(help="The folder to write; a new one, or an earlier site.")],
    model: Annotated[str, typer.Option(help="A bundled model, or a model folder.")] = "per-layer",
) -> None:
    """Write the live page as a static site: the model runs in the reader's browser, without Python.

    The runtime (onnxruntime-web) is fetched once, verified, and put into the folder; the site asks nothing of any
    other server.

    Examples:

      ropewalk export-site site && python -m http.server --directory site

      ropewalk export-site site --model runs/mine/checkpoints/step-00005000
    """
    from ropewalk.export import site
    from ropewalk.native.checkpoint import load_decoder

    found = site(folder, load_decoder(model))
    typer.echo(
        f"wrote {folder}; the model's increments there differ from PyTorch's by at most "
        f"{found['increments']:.1g}, its logits by {found['logits']:.1g}.",
        err=True,
    )


def _frames(run: Path, text: str) -> tuple[list[Trace], list[str]]:
    from ropewalk.errors import UserError
    from ropewalk.measure.capture import trace
    from ropewalk.native.checkpoint import load_decoder

    found = sorted((run / "checkpoints").glob("step-*")) if run.is_dir() else []
    if len(found) < 2:
        raise UserError(
            f"Expected a run with at least two checkpoints, got {len(found)} in {run / 'checkpoints'}; "
            "name the folder of a run, or train with a larger keep."
        )
    return [trace(load_decoder(one), text) for one in found], [f"step {int(one.name[5:]):,}" for one in found]


def _unused(name: str, taken: Mapping[str, object]) -> str:
    number = 2
    unique = name
    while unique in taken:
        unique = f"{name} ({number})"
        number += 1
    return unique
