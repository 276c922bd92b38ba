"""Damaged files that once did harm, read again; and a short run of the fuzzer itself. See scripts/fuzz.py."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from formats import FORMATS

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).parents[1]))
import fuzz
import tiny

from ropewalk.errors import UserError
from ropewalk.native.decoder import Decoder
from ropewalk.training.optimizer import Optimizers

CRASHES = sorted(fuzz.CRASHES.glob("*.*.*"))
QUICK = [name for name, one in FORMATS.items() if not name.startswith(("run-", "adapter-"))]


@pytest.mark.parametrize("path", CRASHES, ids=lambda path: path.name)
def test_what_once_did_harm(tmp_path: Path, path: Path) -> None:
    name, seal, _ = path.name.rsplit(".", 2)
    bench = fuzz.Bench(FORMATS[name], tmp_path)
    assert bench.problem(path.read_bytes(), seal == "sealed") is None


@pytest.mark.parametrize("name", QUICK)
def test_every_format_survives_some_damage(tmp_path: Path, name: str) -> None:
    one, chance = FORMATS[name], random.Random(name)
    bench = fuzz.Bench(one, tmp_path)
    assert bench.problem(bench.data, seal=False) is None
    for _ in range(5):
        data, seal = fuzz.mutated(bench.data, one.kind, chance), chance.random() < 0.7
        assert bench.problem(data, seal) is None, data[:500]


def test_an_optimizer_state_without_a_part_is_refused() -> None:
    """Found by the fuzzer: a resealed checkpoint whose moments were renamed failed only at the next step."""
    recipe = tiny.recipe()
    model = Decoder(recipe.model, seed=0)
    optimizers = Optimizers(model, recipe.optimizer)
    model(tiny.tokens(1, 8)).logits.sum().backward()
    optimizers.step(1.0)
    state = optimizers.state()
    optimizers.restore(state)
    with pytest.raises(UserError, match="the optimizer state lacks a part"):
        Optimizers(model, recipe.optimizer).restore(
            {k: v for k, v in state.items() if not k.endswith("::exp_avg")}
        )


def test_the_fuzzer_sees_harm(tmp_path: Path) -> None:
    """A reader that lets through an error of another kind, one that hangs, and one whose sentence has two lines."""
    from formats import Format

    def read(folder: Path) -> None:
        data = (folder / "x").read_bytes()
        if data == b"two lines":
            raise UserError("one\ntwo")
        while data == b"hangs":
            pass
        if data != b"good":
            raise KeyError(data)

    bench = fuzz.Bench(Format("x", "x", "bytes", lambda f: (f / "x").write_bytes(b"good"), read), tmp_path)
    assert bench.problem(b"good", False) is None
    assert "KeyError" in str(bench.problem(b"bad", False))
    assert "several lines" in str(bench.problem(b"two lines", False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fuzz, "HANG", 0.05)
        assert "still reading" in str(bench.problem(b"hangs", False))
