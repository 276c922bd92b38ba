import re

import numpy as np
import pytest
from planted import byte_trace, token_trace
from samples import CHINESE, sample

from ropewalk.views.findings import Finding, findings, place, text_of


def test_the_widest_gap_is_named_with_its_numbers_and_its_word() -> None:
    trace = byte_trace("New York is", [[1, 1, 1, 1, 3, 1, 1, 1, 1, 1, 1]])
    (first, *_) = findings(trace)
    assert (
        first.text
        == "Layer 0 puts its widest gap before “Y” of “York”: 3 × the gap of an ordinary model, 2.5 × the mean of this row."
    )
    assert (first.row, first.cell, first.value, first.ratio) == ("L0", 4, 3.0, 2.5) and not first.noise


@pytest.mark.parametrize("text", ["The old rope maker walked on.", CHINESE, "def f(x):\n    return x\n"])
def test_every_number_in_a_sentence_is_one_of_the_findings(text: str) -> None:
    first, *_ = findings(sample(text))
    content = first.as_json()
    (numbers,) = re.findall(r": ([\d.]+) × the gap of an ordinary model, ([\d.]+) ×", first.text)
    assert [float(x) for x in numbers] == [float(f"{content[k]:.3g}") for k in ("value", "ratio")]


def test_a_constant_trace_has_nothing_that_stands_out() -> None:
    (only,) = findings(byte_trace("the same", np.full((3, 8), 1.2)))
    assert only.text == "Nothing stands out: all gaps are within 1% of their row's mean."
    assert findings(byte_trace("x"))[0].text.startswith("Nothing stands out")


def test_a_large_standard_error_is_called_noise() -> None:
    values = [[1.0, 1.0, 1.0, 2.0]]
    parts = {"kind": "sensitivity", "unit": "nats"}
    noisy = findings(byte_trace("abcd", values, error=np.full((1, 4), 1.0), **parts))[0]
    clear = findings(byte_trace("abcd", values, error=np.full((1, 4), 0.01), **parts))[0]
    silent = findings(byte_trace("abcd", values, **parts))[0]
    assert noisy.noise and "a standard error of 1; this may be noise" in noisy.text
    assert not clear.noise and clear.text.endswith(
        "1.5 × the mean of this row: 2 with a standard error of 0.01."
    )
    assert "2 with no standard error." in silent.text


def test_gaps_that_were_not_measured_are_left_out() -> None:
    values = [[np.nan, np.nan, 1.0, 3.0, 1.0]]
    trace = token_trace("a b c d e", ["a", " b", " c", " d", " e"], values, kind="sensitivity", unit="nats")
    assert findings(trace)[0].cell == 3
    assert text_of((Finding("One."), Finding("Two."))) == "One. Two."


def test_places_are_named_in_context() -> None:
    cells = tuple(byte_trace("a cat.\n猫").cells())
    assert [place(cells, n) for n in (1, 2, 5, 6, 7)] == [
        "the space after “a”", "“c” of “cat”", "“.” after “cat”", "the line end after “.”", "“猫”",
    ]  # fmt: skip


def test_a_word_that_occurs_twice_is_told_by_the_one_before_it() -> None:
    cells = tuple(token_trace("of the in the", ["of", " the", " in", " the"], np.ones((1, 4))).cells())
    assert [place(cells, n) for n in (1, 3)] == ["“the” after “of”", "“the” after “in”"]
