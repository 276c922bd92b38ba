"""The published key-value task: its sequences, and a training that continues where it stopped."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest
import torch

SCRIPTS = str(Path(__file__).parents[2] / "scripts")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    import key_value

    yield key_value
    sys.modules.pop("key_value")


def test_the_answer_is_the_value_of_the_key_that_is_asked(script) -> None:
    tokens, answer = script.sequences(3, 5, 50)
    assert tokens.shape == (50, 34) and (tokens[:, 32] == 32).all()
    keys, values = tokens[:, :32:2], tokens[:, 1:32:2]
    for row in range(50):
        assert len(set(keys[row].tolist())) == 16
        place = keys[row].tolist().index(int(tokens[row, 33]))
        assert values[row, place] == answer[row]
    assert values.unique().numel() == 32 and not torch.equal(tokens, script.sequences(3, 6, 50)[0])
    assert torch.equal(tokens, script.sequences(3, 5, 50)[0])


def test_a_stopped_training_ends_as_one_that_was_not(script, tmp_path: Path) -> None:
    script.HELD_OUT = 20

    def train(folder: str, until: float) -> bool:
        given = {"steps": 3, "batch": 4, "width": 16, "every": 3, "until": until, "compile": False}
        return script.train("pope, increments", 7, tmp_path / folder, argparse.Namespace(**given))

    assert train("whole 7", float("inf"))
    script.SAVE_MINUTES = -1.0
    stops = 0
    while not train("pope, increments 7", 0.0):
        stops += 1
    assert stops >= 2
    whole, parts = (
        script.checkpoint.load_decoder(tmp_path / name) for name in ("whole 7", "pope, increments 7")
    )
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, parts.state_dict()[name]), name
    result = script.table(tmp_path, argparse.Namespace(steps=3, batch=4, width=16))
    (row,) = result.rows
    assert row["variant"] == "pope, increments" and row["published"] == 0.849 and 0 <= row["accuracy"] <= 1
