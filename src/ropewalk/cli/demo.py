"""ropewalk demo: what ropewalk shows, in a few minutes and without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ropewalk.traces.trace import Trace
    from ropewalk.training.recipe import Recipe

SENTENCES = {
    "english": "The old bridge over the river was closed in 1987, but New York kept growing.",
    "chinese": "我们在北京大学学习语言学，周末去图书馆看书。",
    "mixed": "The word 语言 means language; 学 means to learn.",
}
CODE = "def area(width, height):\n    return width * height"
SNAPSHOTS = 10


def demo(
    out: Annotated[Path, typer.Option(help="The folder for pictures, run and report.")] = Path("demo"),
    seconds: Annotated[float, typer.Option(help="About how long the training run lasts.")] = 60.0,
) -> None:
    """Trace English and Chinese with the bundled model, train a small one live, write a report.

    Examples:

      ropewalk demo

      ropewalk demo --out /tmp/demo --seconds 20
    """
    from rich.console import Console

    from ropewalk.cli.demo_report import write
    from ropewalk.loading import load
    from ropewalk.measure.capture import trace
    from ropewalk.native.decoder import Decoder
    from ropewalk.views import figure, terminal

    _fresh(out)
    console = Console()
    model: Any = load("flagship")
    shown = {name.capitalize(): trace(model, sentence) for name, sentence in SENTENCES.items()}
    for name, result in shown.items():
        console.print(terminal.render(result))
        figure.save(result, out / f"{name.lower()}.png")
    console.print(
        f"\nNow a small model learns Python's own sources, for about {seconds:.0f} seconds.", style="bold"
    )
    snapshots = _train(out / "run", seconds)
    _film(snapshots, out)
    parameters = sum(p.numel() for p in Decoder(recipe(1).model).parameters())
    write(out, model.provenance, shown, snapshots, parameters)
    console.print(
        f"\nThe report is {out / 'report.html'}; the pictures are in the same folder.",
        style="bold",
        markup=False,
    )


def recipe(steps: int, snapshot_minutes: float = 1.0) -> Recipe:
    """A model of 0.3 million parameters on the standard library's sources."""
    from ropewalk.training.recipe import Recipe

    return Recipe.model_validate(
        {
            "corpus": {
                "sources": [{"builtin": "python"}],
                "validation_documents": 40,
                "documents": 600,
                "overlap": "drop",
            },
            "model": {"hidden_size": 64, "num_heads": 4, "num_layers": 4, "context_length": 256},
            "optimizer": {"lr": 4e-3, "warmup": 20},
            "train": {
                "steps": steps,
                "batch_size": 16,
                "micro_batch_size": 16,
                "compile": False,
                "validate_every": max(1, steps // 4),
                "validation_tokens": 50_000,
                "keep": 1_000,
                "checkpoint_minutes": snapshot_minutes,
            },
        }
    )


def _train(folder: Path, seconds: float) -> list[Trace]:
    """Trains for about `seconds` and returns the same lines of code traced along the way, untrained first."""
    import tempfile

    from ropewalk.cli.progress import watching
    from ropewalk.corpus import prepare
    from ropewalk.loading import load
    from ropewalk.measure.capture import trace
    from ropewalk.native.decoder import Decoder
    from ropewalk.training.native_training import train

    corpus = prepare(recipe(1).corpus)
    with tempfile.TemporaryDirectory() as trial:
        train(recipe(6), corpus, Path(trial))
        speed = json.loads((Path(trial) / "metrics.jsonl").read_text().splitlines()[-1])["bytes_per_second"]
    first = recipe(1)
    steps = max(SNAPSHOTS, round(seconds * speed / (first.train.batch_size * first.model.context_length)))
    with watching(folder, steps) as watch:
        train(recipe(steps, seconds / 60 / SNAPSHOTS), corpus, folder, watch=watch)
    untrained = Decoder(first.model, seed=first.train.seed).eval()
    trained = [load(checkpoint) for checkpoint in sorted((folder / "checkpoints").glob("step-*"))]
    return [trace(model, CODE) for model in (untrained, *trained)]


def _film(snapshots: list[Trace], out: Path) -> None:
    from ropewalk.views import film

    film.save(snapshots, out / "film.gif")
    film.save(snapshots, out / "film.html")


def _fresh(out: Path) -> None:
    """Makes the folder; an earlier demo's run is replaced, anything else in it is left alone."""
    import shutil

    from ropewalk.errors import UserError

    try:
        out.mkdir(parents=True, exist_ok=True)
        if (out / "run" / "recipe.json").is_file():
            shutil.rmtree(out / "run")
    except OSError as error:
        raise UserError(
            f"cannot write into {out}: {error.strerror}; choose another folder with --out."
        ) from error
