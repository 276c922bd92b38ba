"""ropewalk measure and analyze: one table, its figure and its numbers at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ropewalk.cli.native import native_model
from ropewalk.cli.options import option_groups
from ropewalk.cli.printing import echo
from ropewalk.cli.results import check_folder, show_results
from ropewalk.experiments import REGISTRY, Experiment

if TYPE_CHECKING:
    from ropewalk.core.host import Host
    from ropewalk.experiments import Inputs
    from ropewalk.native.decoder import Decoder

BASELINE = "integer RoPE"
OPTIONS = {
    "text": "--text FILE",
    "tokens": "--text FILE",
    "gold": "--dev FILE",
    "baseline": "--baseline MODEL",
}
NATIVE = ("bytes", "code", "curve", "entities", "jieba", "lookup", "names", "neutrality", "planted", "scopes")
"""Experiments about how native models were trained, or about single bytes."""
WITHOUT_INCREMENTS = ("dose",)
"""Experiments that change gaps, whatever they are."""
ANALYSES = ("spacing", "surface", "extremes", "boundaries", "agreement")

Out = Annotated[Path | None, typer.Option(help="Write each table as .json, .md and .png into this folder.")]


def _print_list(asked: bool) -> None:
    """Every measurement and what it asks, instead of a measurement."""
    if asked:
        for name, experiment in REGISTRY.items():
            echo(f"{name:<15}{experiment.help}")
        raise typer.Exit


@dataclass(frozen=True)
class Data:
    """What a measurement reads besides its models."""

    text: Annotated[
        list[str] | None,
        typer.Option(
            help="A text to read, which no model was trained on: a file or a pattern; may be repeated."
        ),
    ] = None
    dev: Annotated[
        Path | None,
        typer.Option(help="Segmented sentences for development: row and threshold are chosen on them."),
    ] = None
    test: Annotated[
        Path | None,
        typer.Option(help="Segmented sentences that are scored; without it --dev is split in halves."),
    ] = None
    limit: Annotated[
        int | None, typer.Option(min=1, help="Read at most this many sentences of each segmented file.")
    ] = None
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            help="Integer-RoPE models of the same seeds (neutrality, knockout, extrapolation, lookup)."
        ),
    ] = None
    windows: Annotated[int, typer.Option(min=2, help="How many windows of the text to read.")] = 32

    def inputs(self, models: list[Host], baseline: list[Decoder]) -> Inputs:
        """The files read, with the models."""
        from ropewalk.analyses import gold
        from ropewalk.corpus.files import read_files
        from ropewalk.errors import UserError
        from ropewalk.experiments import Inputs
        from ropewalk.measure.windows import tokens_of

        content = read_files(self.text) if self.text else ""
        if self.text and not content:
            raise UserError(f"{self.text[0]} is empty; give a file with some text.")
        return Inputs(
            {"models": models, **({BASELINE: baseline} if baseline else {})},
            baseline=BASELINE,
            text=content,
            tokens=tokens_of(content) if content else None,
            dev=None if self.dev is None else gold.read(self.dev, self.limit),
            test=None if self.test is None else gold.read(self.test, self.limit),
            windows=self.windows,
        )


ListAll = Annotated[
    bool, typer.Option("--list", help="List the measurements and stop.", is_eager=True, callback=_print_list)
]


@option_groups
def measure(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(REGISTRY)}; --list explains them.")],
    models: Annotated[
        list[str],
        typer.Argument(help="Models of one configuration, one per seed: bundled names, folders, or grafts."),
    ],
    data: Data,
    out: Out = None,
    list_all: ListAll = False,
) -> None:
    """Run one measurement on models and print a table with intervals.

    Several models of one configuration, trained with different seeds, give one table whose intervals include the variance over seeds.

    Examples:

      ropewalk measure --list

      ropewalk measure bytes shared

      ropewalk measure spacing per-layer --text letter.txt --out tables

      ropewalk measure boundaries per-layer --dev dev.seg.txt --test test.seg.txt --out tables

      ropewalk measure entities runs/seed-1/model runs/seed-2/model

      ropewalk measure lookup runs/a1/model runs/a2/model --baseline runs/rope1/model --baseline runs/rope2/model

      ropewalk measure scopes per-layer

      ropewalk measure knockout per-layer --text letter.txt --baseline runs/rope/model

      ropewalk measure neutrality runs/a1/model runs/a2/model --baseline runs/rope1/model --baseline runs/rope2/model
    """
    from ropewalk import experiments
    from ropewalk.errors import UserError

    check_folder(out)
    experiment = experiments.get(name)
    given = {"text": data.text, "tokens": data.text, "gold": data.dev, "baseline": data.baseline}
    missing = [OPTIONS[need] for need in experiment.needs if not given[need]]
    if missing:
        raise UserError(f"measuring {name} needs {missing[0]}; see: ropewalk measure --help")
    opened = [_opened(model, experiment) for model in models]
    baseline = [native_model(model, f"measure {name}") for model in data.baseline or ()]
    results = experiment.measure(data.inputs(opened, baseline))
    options = {f"--{field}": getattr(data, field) for field in ("text", "dev", "test", "limit", "baseline")}
    options |= {"--windows": data.windows} if "tokens" in experiment.needs else {}
    show_results(results, _command("measure", name, models, options), out)


def _opened(model: str, experiment: Experiment) -> Host:
    """A model to measure. UserError for one that the experiment cannot say anything about."""
    from ropewalk.errors import UserError
    from ropewalk.loading import kind_of, load
    from ropewalk.measure.hosts import has_increments

    if kind_of(model) == "native" or "tokens" in experiment.needs or experiment.name in NATIVE:
        decoder = native_model(model, f"measure {experiment.name}")
        if decoder.own_tokenizer is not None and ("tokens" in experiment.needs or experiment.name in NATIVE):
            raise UserError(
                f"{model} reads tokens of its own tokenizer, and `ropewalk measure {experiment.name}` reads bytes; measure "
                "agreement, boundaries, dose or spacing, or name a byte model."
            )
        return decoder
    host = load(model)
    if not has_increments(host) and experiment.name not in WITHOUT_INCREMENTS:
        raise UserError(
            f"{model} has no learned increments, so there is nothing to measure; use `ropewalk probe`, or name a folder of "
            "increments that `ropewalk graft-train` made."
        )
    return host


def analyze(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(ANALYSES)}.")],
    traces: Annotated[list[Path], typer.Argument(help="Traces, as `ropewalk show --json` writes them.")],
    gold: Annotated[
        list[Path] | None,
        typer.Option(
            help="The segmented file of each trace (boundaries): of one trace, split in halves, or of two."
        ),
    ] = None,
    out: Out = None,
) -> None:
    """Analyze saved traces, of ropewalk's models or of anything else that gives one number per token.

    Examples:

      ropewalk show --file letter.txt --json letter.json -q
      ropewalk analyze spacing letter.json

      ropewalk analyze boundaries dev.json test.json --gold dev.seg.txt --gold test.seg.txt --out tables
    """
    from ropewalk.analyses import boundaries, gain, gaps, spacing, surface
    from ropewalk.analyses import gold as golds
    from ropewalk.analyses.agreement import agreement
    from ropewalk.cli.options import one_of
    from ropewalk.errors import UserError
    from ropewalk.traces.trace import Trace

    one_of("the analysis", name, ANALYSES)
    check_folder(out)
    if name == "boundaries" and (not gold or len(gold) != len(traces) or len(traces) > 2):
        raise UserError("boundaries needs one trace and one --gold file, or two of each: development, test.")
    loaded = [Trace.load(path) for path in traces]
    if name == "boundaries":
        files = [golds.read(path) for path in gold or []]
        parts = files[0].halves() if len(files) == 1 else (None, None)
        both = [gaps.gaps(loaded[i % len(loaded)], files[i % len(files)], parts[i]) for i in range(2)]
        part = boundaries.Part(*both)
        results = [boundaries.boundaries([part]), gain.gain([part])]
    elif name == "agreement":
        results = [agreement(loaded)]
    elif name == "surface":
        results = [surface.surface(loaded)]
    else:
        results = [(spacing.by_character if name == "spacing" else spacing.extremes)(t) for t in loaded[:1]]
    show_results(results, _command("analyze", name, traces, {"--gold": gold}), out)


def _command(verb: str, name: str, inputs: Iterable[object], options: Mapping[str, object]) -> str:
    """What was typed, as it can be typed again."""
    import shlex

    words = ["ropewalk", verb, name, *(str(word) for word in inputs)]
    for option, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            words += [option, str(one)] if one is not None else []
    return shlex.join(words)
