"""Runs a probe for a command: progress with the time left, Ctrl-C, and what its numbers are worth in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ropewalk.cli.printing import echo

if TYPE_CHECKING:
    from ropewalk.measure.probe import ProbePlan, ProbeResult
    from ropewalk.tokens.tokenized_text import TokenizedText

QUICK_DRAWS = 8
"""Draws of the probe that `ropewalk show` runs on a model without increments."""


def run_probe(
    host: Any,
    text: str,
    tokens: TokenizedText,
    plan: ProbePlan | None = None,
    *,
    quiet: bool = False,
    **settings: Any,
) -> ProbeResult:
    """The probe of a text, with a bar on standard error; settings as in `ropewalk.probe`.

    Ctrl-C ends it with the gaps that are measured so far, if there are any.
    """
    from ropewalk.measure import probe as probing
    from ropewalk.system.progress import ProgressMeter

    whole = len(tokens.ids) - (0 if tokens.prefix else 1)
    total = whole if plan is None else len(plan.gaps)
    done = 0
    with ProgressMeter(total, "gaps", not quiet, task="probing") as meter:

        def advance(now: int, _: int) -> None:
            nonlocal done
            meter.advance(now - done)
            done = now

        result = probing.probe(host, text, plan, tokens=tokens, progress=advance, **settings)
    if plan is None and not tokens.prefix and not quiet:
        echo("the first token has no gap before it and is not shown; --start puts one before it.", err=True)
    if result.complete < 1:
        echo(
            f"interrupted: {len(result.trace.tokens)} gaps were measured, {result.complete:.0%} of them all; the others are not "
            "shown.",
            err=True,
        )
    return result


def reliability(result: ProbeResult) -> str:
    """How far the sensitivities can be trusted, in one line."""
    if result.trace.error is None:
        return "exact: no sampling error"
    relative = float((result.error / result.trace.values.clip(1e-30)).mean())
    draws = result.trace.context["draws"]
    halves = (
        ""
        if result.agreement is None
        else f"; two halves of the draws rank the gaps alike with a correlation of {result.agreement:.2f}"
    )
    return f"{draws} draws: standard error {relative:.0%} of the sensitivity on average{halves}"
