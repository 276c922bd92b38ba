"""The published figures of models trained from scratch.

Source: Brendan Long, "How Far Apart Does a Model Think Its Tokens Are?", 2026, its tables and the repository's own
replica.
"""

from __future__ import annotations

from collections.abc import Iterator

from ropewalk.analyses.boundaries import CHOSEN
from ropewalk.analyses.byte_kinds import PUBLISHED
from ropewalk.analyses.neutrality import MARGIN
from ropewalk.analyses.result import Cell
from ropewalk.studies.claims import Claim, Place, Rule

BOUNDARIES = (0.50, 0.54, 0.68, 0.37, 0.63, 0.47)
ENTITIES = {"L2": "71 %, p 3e-5", "L3": "66 %, p 6e-5", "L4": "77 %, p 3e-8", "L5": "78 %, p 3e-7"}
LOSSES = {
    "shared": -0.0006, "shared per-head": -0.0013, "per-layer": -0.0031, "per-layer per-head": -0.0052,
    "alibi": -0.0066, "published forget gate": -0.0027, "frozen": -0.001,
}  # fmt: skip
NEUTRAL = ("per-layer",)
"""Published as neutral although the difference is a little larger than our margin."""
ELSEWHERE = (
    (
        "Other sizes",
        "loss 1.471 against 1.472 at 152 M parameters",
        "`recipes/post.toml` with another width and number of layers",
    ),
    (
        "Learned forget gates",
        "their slopes form ALiBi's ladder",
        "`scripts/forget_slopes.py MODEL`, with a model of the variant `published forget gate`",
    ),
    (
        "Negative increments",
        "one byte kind only: the last byte of the Chinese possessive particle",
        "`ropewalk measure bytes MODEL`, with a model of the variant `signed`",
    ),
    ("PoPE at key-value look-up", "85.4 %, with increments 84.9 %", "`scripts/key_value.py FOLDER`"),
    (
        "Graft onto SmolLM2-1.7B",
        "perplexity 9.660 to 9.666 (LoRA), 9.469 against 9.471 (all weights)",
        "`ropewalk graft-study recipes/graft-smollm2.toml`, on a smaller model",
    ),
)
"""What was published and is in no table of a study: section, figure, where to look for it."""


def claims() -> Iterator[Claim]:
    """All claims, in the order of the post."""
    yield from _losses()
    yield from _bytes()
    yield from _boundaries()
    for row, published in ENTITIES.items():
        where: dict[str, Cell] = {"comparison": "reversed order, inner gap", "language": "en", "row": row}
        place = Place("per-layer", "entities", "entities", where, "share")
        yield Claim(
            f"entities/{row}", "Two-word names, English, reversed order", published, place, "above", 0.5
        )
    place = Place("shared", "spacing", "surface", {"predictor": "increment all"}, "auc")
    yield Claim("surface", "Surface boundaries, shared", "AUC 0.97", place, "above", 0.5)
    place = Place("per-layer", "scopes", "scopes", {"predictor": CHOSEN}, "auc")
    published = "layer 2: about 8, all else about 1"
    yield Claim("code", "Scope delimiters of code", published, place, "above", 0.5, reads="python")
    place = Place("per-layer per-head", "lookback", "lookback", {})
    published = "Spearman -0.48 over 48 heads"
    yield Claim("heads", "Larger increments, nearer attention", published, place, "below", p="p")
    yield from _lookup()


def _losses() -> Iterator[Claim]:
    """A published difference within the margin was neutral, so equivalence replicates it."""
    for variant, difference in LOSSES.items():
        place = Place(None, "neutrality", "neutrality", {"variant": variant}, "difference")
        neutral = variant in NEUTRAL or abs(difference) <= MARGIN
        yield Claim(
            f"loss/{variant}",
            "Loss against integer RoPE",
            f"{difference:+.4f}",
            place,
            "equivalent" if neutral else "below",
        )


def _bytes() -> Iterator[Claim]:
    for row, variant, name in (("all", "shared", "shared"), ("L0", "per-layer", "layer 0")):
        section = f"Increments by byte, {name}"
        for kind, mean in PUBLISHED[name].items():
            place = Place(variant, "bytes", "bytes", {"row": row, "kind": kind}, "mean")
            yield Claim(f"bytes/{name}/{kind}", section, f"{mean}", place)
        place = Place(variant, "bytes", "order", {"row": row}, "order")
        yield Claim(f"bytes/{name}/order", section, "rank correlation with itself 1", place, "above", p="p")


def _boundaries() -> Iterator[Claim]:
    section, table = "Chinese words against jieba", "boundaries * by jieba"

    def place(variant: str, predictor: str) -> Place:
        return Place(variant, table, "boundaries", {"predictor": predictor}, "auc")

    yield Claim("boundaries/all", section, "AUC 0.498", place("shared", "increment all"))
    best = "AUC 0.68, best of six layers"
    yield Claim("boundaries/best", section, best, place("per-layer", CHOSEN), "above", 0.5)
    for layer, value in enumerate(BOUNDARIES):
        rule: Rule = "figure" if abs(value - 0.5) < 0.02 else "above"
        where = place("per-layer", f"increment L{layer}")
        yield Claim(f"boundaries/L{layer}", section, f"AUC {value:.2f}", where, rule, 0.5)


def _lookup() -> Iterator[Claim]:
    section = "Key-value look-up"
    for variant, published in (("rope", "90.3 %"), ("per-layer", "92.6 %")):
        place = Place(None, "lookup", "lookup", {"variant": variant, "questions": "all"}, "accuracy")
        yield Claim(f"lookup/{variant}", section, published, place, reads="lookup")
    place = Place(None, "lookup", "lookup", {"variant": "per-layer", "questions": "all"}, "difference")
    yield Claim("lookup/gain", section, "+2.3 points", place, "above", reads="lookup")
