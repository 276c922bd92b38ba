"""Plain inputs that once ended in a traceback, or meant something else: one sentence each, before any work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ropewalk.core.increment_config import IncrementConfig
from ropewalk.errors import UserError
from ropewalk.measure.generation import generate
from ropewalk.measure.probe import probe
from ropewalk.native.checkpoint import load_decoder, save_decoder
from ropewalk.system.seeds import MAX_SEED, check_seed
from ropewalk.training.recipe import TrainConfig

LONG = "9" * 20


def refused(answer: Any, said: str, status: int = 1) -> None:
    assert (answer.status, answer.out) == (status, ""), answer.err
    assert answer.err.startswith("ropewalk: ") and answer.err.count("\n") == 1 and said in answer.err


@pytest.mark.parametrize("command", [("generate", "a"), ("probe", "MODEL", "a b"), ("graft-train", "x")])
@pytest.mark.parametrize("seed", [LONG, "-1"])
def test_seeds_have_a_range(ropewalk, model: Path, command: tuple[str, ...], seed: str) -> None:
    words = [str(model) if word == "MODEL" else word for word in command]
    refused(ropewalk(*words, "--seed", seed), "--seed", 2)


@pytest.mark.parametrize("seed", [-1, 2**63, True, 1.0, "1"])
def test_seeds_of_public_calls_have_a_range(model: Path, seed: Any) -> None:
    decoder = load_decoder(model)
    for use in (
        lambda: check_seed(seed),
        lambda: generate(decoder, "ab", length=1, seed=seed),
        lambda: probe(decoder, "abc", draws=2, seed=seed),
    ):
        with pytest.raises(UserError, match="a seed is a whole number from 0"):
            use()
    assert check_seed(MAX_SEED) == MAX_SEED == TrainConfig(seed=MAX_SEED).seed
    assert isinstance(generate(decoder, "ab", length=1, seed=MAX_SEED), str)


def test_a_model_of_nan_is_refused_by_the_probe(model: Path) -> None:
    decoder = load_decoder(model)
    with torch.no_grad():
        decoder.embedding.fill_(float("nan"))
    for exact in (False, True):
        with pytest.raises(UserError, match="finite"):
            probe(decoder, "abc", draws=2, exact=exact)


@pytest.mark.parametrize("temperature", ["1e-320", "1e-40", "0"])
def test_a_tiny_temperature_is_greedy(ropewalk, model: Path, temperature: str) -> None:
    words = ("generate", "ab", "--model", model, "--length", "5", "--temperature")
    assert ropewalk(*words, temperature).out == ropewalk(*words, "0").out


@pytest.mark.parametrize("command", ["measure", "analyze"])
def test_out_is_checked_before_the_computation(ropewalk, model: Path, tmp_path: Path, command: str) -> None:
    (tmp_path / "file").write_text("here")
    words = ("measure", "bytes", model) if command == "measure" else ("analyze", "spacing", "missing.json")
    for out in (tmp_path / "file", tmp_path / "file" / "inner"):
        refused(ropewalk(*words, "--out", out), "--out")
    assert (tmp_path / "file").read_text() == "here"


@pytest.mark.parametrize(
    "provenance",
    [
        {},
        {"step": "many"},
        {"step": None, "validation": []},
        {"validation": "low"},
        {"step": True, "name": 3},
    ],
)
def test_info_on_any_provenance(ropewalk, model: Path, tmp_path: Path, provenance: dict[str, Any]) -> None:
    save_decoder(tmp_path / "m", load_decoder(model), provenance)
    answer = ropewalk("info", tmp_path / "m")
    assert answer.status == 0 and "parameters" in answer.out and answer.err == ""


@pytest.mark.parametrize(
    ("name", "value"), [("MPLBACKEND", "evil"), ("TORCH_LOGS", "evil"), ("WORLD_SIZE", "abc")]
)
def test_variables_of_the_environment(model: Path, tmp_path: Path, name: str, value: str) -> None:
    """A sentence, or the answer; never a traceback."""
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        'corpus = { sources = [{ builtin = "planted" }], documents = 3, validation_documents = 1 }\n'
        "train = { steps = 1, compile = false }\n"
    )
    command: list[object] = ["show", "a", "--model", model, "--json", tmp_path / "t.json"]
    if name == "MPLBACKEND":
        command[-2:] = ["--svg", tmp_path / "t.svg"]
    if name == "WORLD_SIZE":
        command = ["train", recipe, "--out", tmp_path / "run"]
    ran = subprocess.run(
        [sys.executable, "-m", "ropewalk", *map(str, command)],
        env=os.environ | {"RANK": "0", name: value, "ROPEWALK_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in ran.stderr, ran.stderr
    if name == "MPLBACKEND":
        assert ran.returncode == 0, ran.stderr
    else:
        assert ran.returncode == 1 and name in ran.stderr and ran.stderr.count("ropewalk:") == 1, ran.stderr


# Options and settings mean what they say: zero is zero, a boolean is no number.


@pytest.mark.parametrize(
    "changes", [{"hidden_size": True}, {"max_increment": True}, {"per_head": 1}, {"std": "0.3"}], ids=str
)
def test_a_boolean_in_a_json_is_no_number(tmp_path: Path, changes: dict[str, Any]) -> None:
    from formats import host

    from ropewalk import hf

    with hf.graft(host(), hidden_size=2) as grafted:
        grafted.save(tmp_path / "g")
    record = json.loads((tmp_path / "g" / "ropewalk.json").read_text())
    record["increments"].update(changes)
    (tmp_path / "g" / "ropewalk.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=next(iter(changes))):
        hf.load(host(), tmp_path / "g")
    from ropewalk.hf.peft import RopewalkConfig

    with pytest.raises(UserError, match=next(iter(changes))):
        _ = RopewalkConfig(task_type="CAUSAL_LM", **changes).increments
    assert RopewalkConfig(task_type="CAUSAL_LM").increments == IncrementConfig()


def test_a_rate_of_zero_is_zero(tmp_path: Path) -> None:
    from ropewalk.cli.graft_train import GraftOptions

    assert GraftOptions(lr=0.0).table("x")["optimizer"]["increments_lr_multiplier"] == 0.0
    assert GraftOptions(lr=0.0, base_lr=0.0).table("x")["optimizer"] == {
        "lr": 0.0, "increments_lr_multiplier": 0.0, "warmup": 100,
    }  # fmt: skip


@pytest.mark.parametrize("tokens", ["0", "-5"])
def test_freeze_reads_at_least_one_token(ropewalk, texts: Path, model: Path, tokens: str) -> None:
    words = (
        "token-table",
        model,
        texts / "t.safetensors",
        "--recipe",
        texts / "recipe.toml",
        "--tokens",
        tokens,
    )
    refused(ropewalk(*words), "--tokens", 2)


def test_a_model_that_only_its_name_makes_long(ropewalk, model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / ("m" * 200))
    assert ropewalk("info", tmp_path / ("m" * 200)).status == 0


def test_half_a_character_is_reported_before_a_shard_is_written(
    ropewalk, model: Path, tmp_path: Path
) -> None:
    lines = ['{"text": "one"}'] * 9 + ['{"text": "b\\ud800"}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    answer = ropewalk("trace", tmp_path / "a.jsonl", "--out", tmp_path / "out", "--model", model)
    refused(answer, f"{tmp_path / 'a.jsonl'}, line 10: 'text' holds half of a character")
    assert not (tmp_path / "out").exists()


def test_several_files_and_patterns_are_one_text(ropewalk, model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b.csv").write_text("id,text\n1,two\n")
    words = ("show", "--file", tmp_path / "a.txt", "--file", tmp_path / "*.csv", "--model", model, "-q")
    assert ropewalk(*words, "--json", tmp_path / "t.json").status == 0
    assert json.loads((tmp_path / "t.json").read_text())["text"] == "one\n\ntwo"
    refused(ropewalk("show", "--file", tmp_path / "*.rst", "--model", model), "matches no file")
