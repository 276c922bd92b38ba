"""Numbers from other methods become Traces; the documented example is one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ropewalk import Row, Trace, UserError
from ropewalk.traces import importers

DOCS = Path(__file__).parents[2] / "docs" / "import-format.md"


def example() -> dict[str, Any]:
    found = re.search(r"```json\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def write(folder: Path, **changes: Any) -> Path:
    content = {key: value for key, value in {**example(), **changes}.items() if value is not None}
    (folder / "x.json").write_text(json.dumps(content))
    return folder / "x.json"


def test_the_documented_example(tmp_path: Path) -> None:
    trace = importers.load(write(tmp_path))
    assert trace.text == "Hello world" and trace.kind == "position"
    assert trace.rows == (Row(5, 0), Row(5, 1), Row(6, 0), Row(6, 1))
    assert np.allclose(trace.values, [[0.0, 0.7], [0.1, 1.4], [0.3, 2.5], [0.2, 0.9]])
    assert np.allclose(trace.increments[:, 1], [0.7, 1.3, 2.2, 0.7])
    assert [cell.text for cell in trace.cells()] == ["Hello", " world"]
    trace.save(tmp_path / "t.json")
    assert Trace.load(tmp_path / "t.json").hash == trace.hash


def test_forget_gates_are_decay_in_nats() -> None:
    trace = importers.forget_gates(np.log([[[0.5]], [[0.25]]]), pieces=["中", "文"])
    assert trace.kind == "forget" and np.allclose(trace.values, [[np.log(2), np.log(4)]])
    assert trace.spans.tolist() == [[0, 3], [3, 6]]
    with pytest.raises(UserError, match="increment"):
        _ = trace.increments
    with pytest.raises(UserError, match="pass log f"):
        importers.forget_gates([[[0.5]]], pieces=["a"])


def test_layers_without_heads_and_increments_with_a_gap() -> None:
    trace = importers.from_numbers(
        [[1.0, 2.0], [1.5, 0.5]], pieces=["a", "b"], kind="increment", unit="steps", method="m", gap="before"
    )
    assert trace.rows == (Row(0), Row(1)) and trace.provenance == {"name": "m"}
    assert importers.learned_positions([[[0.0]]], pieces=["a"], layers=[3]).rows == (Row(3, 0),)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "not in the import format"),
        ({"version": 2}, "not in the import format"),
        ({"pieces": None}, "lacks pieces"),
        ({"pieces": [1, 2]}, "list of strings"),
        ({"pieces": ["a"]}, "for 1 pieces"),
        ({"kind": "color"}, "expected a kind of"),
        ({"numbers": [[[0.0], [1.0]], [[0.0]]]}, "ragged"),
        ({"numbers": [[[0.0, None]], [[0.0, 1.0]]], "layers": [1]}, "finite"),
        ({"layers": [1]}, "2 layers"),
        ({"kind": "increment"}, "gap"),
        ({"layers": [5, 5]}, "different rows"),
        ({"version": True}, "not in the import format"),
        ({"numbers": [[[0.0], [True]], [[0.0], [1.0]]]}, "numbers to hold numbers, got true or false"),
        ({"tokens": [True, 1]}, "tokens to hold numbers, got true or false"),
        ({"layers": [True, 1]}, "layers to hold numbers, got true or false"),
        ({"surprisal": [None, True]}, "surprisal to hold numbers, got true or false"),
    ],
)
def test_what_is_wrong_is_content(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        importers.load(write(tmp_path, **changes))


def test_unreadable_files_are_content(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        importers.load(tmp_path / "missing.json")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        importers.load(tmp_path / "x.json")
