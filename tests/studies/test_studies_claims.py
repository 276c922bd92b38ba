from __future__ import annotations

from dataclasses import replace

import pytest

from ropewalk.analyses.result import Endpoint, Result
from ropewalk.analyses.statistics import Estimate
from ropewalk.studies.claims import Claim, Place, judge, verdict
from ropewalk.studies.native.claims import claims


def claim(rule: str, null: float = 0.5) -> Claim:
    place = Place("v", "t", "t", {"row": "L0"}, "auc")
    return Claim("x", "s", "0.6", place, rule, null)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "row", "word"),
    [
        ("above", {"auc_low": 0.55, "auc_high": 0.65}, "replicated"),
        ("above", {"auc_low": 0.35, "auc_high": 0.45}, "not replicated at 3 MB"),
        ("above", {"auc_low": 0.45, "auc_high": 0.55}, "undecided at 3 MB"),
        ("below", {"auc_low": 0.35, "auc_high": 0.45}, "replicated"),
        ("above", {"auc_low": None, "auc_high": None}, "one seed, no verdict"),
        ("above", {"auc_low": 0.55, "auc_high": 0.65, "holm": 0.2}, "undecided at 3 MB"),
        ("above", {"auc_low": 0.55, "auc_high": 0.65, "holm": 0.01}, "replicated"),
        ("figure", {"auc_low": 0.55, "auc_high": 0.65}, "no verdict"),
        (
            "equivalent",
            {"auc_low": 0.1, "auc_high": 0.2, "equivalent": True, "different": True},
            "replicated",
        ),
        (
            "equivalent",
            {"auc_low": 0.1, "auc_high": 0.2, "equivalent": False, "different": True},
            "not replicated at 3 MB",
        ),
        (
            "equivalent",
            {"auc_low": 0.0001, "auc_high": 0.0025, "equivalent": False, "different": True},
            "undecided at 3 MB",
        ),
        (
            "equivalent",
            {"auc_low": -1, "auc_high": 1, "equivalent": False, "different": False},
            "undecided at 3 MB",
        ),
    ],
)
def test_a_verdict_follows_from_the_interval(rule, row, word):
    low, high = row["auc_low"], row["auc_high"]
    middle = None if low is None else (low + high) / 2
    assert verdict(claim(rule), {"auc": middle, **row}, "3 MB") == word


def test_claims_without_a_table_are_left_out_and_others_carry_their_command():
    result = Result(
        "t",
        "T",
        {"row": "row", "auc": "AUC"},
        ({"row": "L0", "auc": 0.6, "auc_low": 0.55, "auc_high": 0.7},),
        ("auc",),
        command="again",
        provenance={"models": ["a", "b"]},
    )
    content = judge(
        iter([claim("above"), Claim("y", "s", "1", Place("w", "t", "t", {}, "auc"))]),
        "g",
        {"g/v/t": [result]},
        "3 MB",
    )
    assert [(row["id"], row["ours"], row["seeds"], row["verdict"], row["command"]) for row in content] == [
        ("x", 0.6, 2, "replicated", "again")
    ]


def test_an_auc_of_boundaries_must_clear_random_networks():
    row = {"row": "L0", "auc": 0.6, "auc_low": 0.55, "auc_high": 0.65}
    words = []
    for null in (0.5, 0.61):
        primary = Endpoint("AUC", Estimate(0.6, 0.55, 0.65), null, "")
        result = Result("boundaries", "T", {"row": "row", "auc": "AUC"}, (row,), ("auc",), primary)
        one = Claim("x", "s", "0.6", Place("v", "t", "boundaries", {"row": "L0"}, "auc"), "above", 0.5)
        words.append(judge(iter([one]), "g", {"g/v/t": [result]}, "3 MB")[0]["verdict"])
    assert words == ["replicated", "undecided at 3 MB"]


def test_a_row_says_what_it_must_clear_and_one_model_has_no_verdict():
    row = {"row": "L0", "auc": 0.6, "auc_low": 0.55, "auc_high": 0.65, "threshold": 0.58}
    columns = {"row": "row", "auc": "AUC", "threshold": "threshold"}
    words, one = [], claim("above")
    for threshold, models in ((0.61, "ab"), (0.8, "ab"), (0.52, "ab"), (0.52, "a")):
        content = Result(
            "surface",
            "T",
            columns,
            (row | {"threshold": threshold},),
            ("auc",),
            provenance={"models": list(models)},
        )
        words.append(
            judge(
                [replace(one, place=replace(one.place, result="surface"))], "g", {"g/v/t": [content]}, "3 MB"
            )[0]["verdict"]
        )
    assert words == ["undecided at 3 MB"] * 2 + ["replicated", "one seed, no verdict"]


def test_a_claim_may_be_about_the_primary_endpoint():
    primary = Endpoint("r", Estimate(-0.4, -0.6, -0.2), 0.0, "")
    content = Result("t", "T", {"a": "a"}, (), primary=primary, provenance={"models": ["a", "b"]})
    one = Claim("x", "s", "-0.48", Place("v", "t", "t", {}), "below")
    row = judge([one], "g", {"g/v/t": [content]}, "3 MB")[0]
    assert (row["ours"], row["verdict"]) == (-0.4, "replicated")


def test_a_permutation_test_decides_where_there_is_one():
    """The interval says how well these heads are measured; p says whether other heads would show it."""
    one = Claim("x", "s", "-0.48", Place("v", "t", "t", {}), "below", p="p")
    words = []
    for p in (0.14, 0.01):
        primary = Endpoint("r", Estimate(-0.4, -0.6, -0.2), 0.0, "", p)
        result = Result("t", "T", {"a": "a"}, (), primary=primary, provenance={"models": ["a", "b"]})
        words.append(judge([one], "g", {"g/v/t": [result]}, "3 MB")[0]["verdict"])
    assert words == ["undecided at 3 MB", "replicated"]


def test_what_was_published_as_neutral_is_judged_by_equivalence_and_names_are_english():
    rules = {one.id: one.rule for one in claims() if one.id.startswith("loss/")}
    assert {name for name, rule in rules.items() if rule == "below"} == {
        "loss/per-layer per-head", "loss/alibi",
    }  # fmt: skip
    assert all(one.place.row["language"] == "en" for one in claims() if one.id.startswith("entities/"))
    assert {one.id for one in claims()} >= {"bytes/shared/order", "bytes/layer 0/order"}


def test_every_claim_has_a_name_of_its_own():
    names = [one.id for one in claims()]
    assert len(names) == len(set(names)) > 30
    sections = list(dict.fromkeys(one.section for one in claims()))
    assert sections[0].startswith("Loss") and sections[-1].startswith("Key-value")
    assert {one.reads for one in claims()} == {"text", "python", "lookup"}
