"""Scope delimiters: Python's own tokenizer says which, and a predictor that knows them is found, by its line."""

from __future__ import annotations

import numpy as np
import pytest

from ropewalk.analyses.scope_delimiters import DELIMITERS, Delimiters, delimiters
from ropewalk.analyses.scopes import Candidates, candidates, scopes
from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.tokens.utf8_bytes import byte_spans, encode
from ropewalk.traces.trace import Trace

SOURCE = '''# é: (not)
def f(x: int = {1: 2}, *, g=lambda a: a) -> "b:":
    if x[1:2]: return f"{x:>{3}}"

    y: int = (lambda: 3,
              5)
    match y:
        case 1:
            pass
    match: int = 3
    t = """a
b (c)
"""
class A: x: int
'''
MARKED = '''# é: (not)
def f^x: int = ^1: 2^, *, g=lambda a: a^ -> "b:"^$
^^^^if x^1:2^^ return f"{x:>{3}}"$

^^^^y: int = ^lambda: 3,
              5^$
^^^^match y^$
^^^^^^^^case 1^$
^^^^^^^^^^^^pass$
^^^^match: int = 3$
^^^^t = """a
b (c)
"""$
class A^ x: int$
'''


def test_the_tokenizer_says_what_delimits() -> None:
    found = delimiters(SOURCE)
    data = bytearray(SOURCE.encode())
    for at, true in zip(found.at, found.labels, strict=True):
        if true:
            data[at : at + 1] = b"$" if data[at] == 10 else b"^"
    assert data.decode().replace("$", "$\n") == MARKED
    head = delimiters(SOURCE, 30)
    assert len(head.at) and head.at.max() < 30
    assert (head.labels == found.labels[: len(head.at)]).all()
    with pytest.raises(UserError, match="not Python source"):
        delimiters("def f(:\n  (")


DRAWS = 39


def read(knows: dict[int, float], *, seed: int = 0, files: int = 12, shuffled: bool = False) -> Candidates:
    """Files of random code: `knows` says how strongly a row stands out where a scope is delimited."""
    stream = np.random.default_rng([seed, 3])
    traces, truth, random = [], [], []
    for number in range(files):
        order = np.random.default_rng(number).permutation(60)
        text = "".join(
            f"def f{i}(a: int = {{{i}: 2}}):\n    # a: (note)\n    return a[1:{i}]\n" for i in order
        )
        known = delimiters(text)
        labels = stream.permutation(known.labels) if shuffled else known.labels
        tokens = np.array(encode(text))
        noise = stream.normal(size=(3 + DRAWS, len(tokens)))
        noise[:, :] += 5 * (tokens == 10)  # which says nothing among bytes of one value
        for row, strength in knows.items():
            noise[row, known.at] += strength * labels
        common = {"text": text, "tokens": tokens, "spans": byte_spans(text), "kind": "increment"}
        common |= {"unit": "token-equivalents", "gap": "before"}
        signals = dict(
            zip(("surprisal", "entropy", "entropy_after"), stream.random((3, len(tokens))), strict=True)
        )
        traces.append(
            Trace(**common, **signals, rows=tuple(map(Row, range(3))), values=np.exp(0.1 * noise[:3]))
        )
        drawn = tuple(Row(0, draw) for draw in range(DRAWS))
        random.append(Trace(**common, rows=drawn, values=np.exp(0.1 * noise[3:])))
        truth.append(known)
    return candidates(traces, truth, random)


@pytest.mark.parametrize("strength", [1.5, -1.5])
def test_the_row_that_isolates_delimiters_is_chosen_with_its_sign(strength: float) -> None:
    content = scopes([read({1: strength}, seed=s) for s in (0, 1)])
    row = content.find(predictor="increment, row chosen on development")
    assert "Rows chosen: L1, L1" in content.notes[0] and content.primary.verdict == "above"
    assert row["auc"] == pytest.approx(0.855, abs=0.04) and row["auc_low"] < row["auc"] < row["auc_high"]
    assert (
        content.find(predictor="increment L1")["holm"] < 0.05 < content.find(predictor="increment L0")["holm"]
    )
    assert all(row[kind] > 0.75 for kind in DELIMITERS)
    assert (
        content.find(predictor="the byte before")["colon"] > 0.9
    )  # a bracket stands before the colon of a block
    assert content.to_json() == scopes([read({1: strength}, seed=s) for s in (0, 1)]).to_json()


def test_shuffled_truth_and_the_byte_itself_give_nothing() -> None:
    verdicts = [scopes([read({1: 1.5}, seed=s, shuffled=True)]).primary.verdict for s in range(4)]
    assert "above" not in verdicts
    assert scopes([read({})]).find(predictor="increment L0")["auc"] == pytest.approx(0.5, abs=0.06)


def test_few_files_and_tokens_that_are_no_bytes_are_refused() -> None:
    with pytest.raises(UserError, match="four files"):
        scopes([read({}, files=3)])
    whole = Trace("a:b", np.array([1]), np.array([[0, 3]]), (Row(0),), np.ones((1, 1)), kind="increment",
                  unit="token-equivalents", gap="before")  # fmt: skip
    with pytest.raises(UserError, match="byte by byte"):
        candidates([whole], [Delimiters(*(np.zeros(0, int) for _ in range(4)))], [whole])
