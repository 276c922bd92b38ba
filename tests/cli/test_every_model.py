"""Commands on a Hugging Face model without increments: what they show, and one sentence where they cannot work."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from commands import mistake, run

from ropewalk import Decoder, DecoderConfig, Trace
from ropewalk.hf import llama_export

SHAPE = {"context_length": 64, "hidden_size": 16, "num_heads": 2, "num_layers": 2, "intermediate_size": 16}
TEXT = "ropes, 绳子"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "llama"
    decoder = Decoder(DecoderConfig(**SHAPE, increments={"parametrization": "integer"}), seed=3)
    return llama_export.export(decoder, folder)


def test_show_probes_a_model_without_increments_and_says_so(llama: Path, tmp_path: Path) -> None:
    files = ("--json", tmp_path / "t.json", "--csv", tmp_path / "t.csv")
    result = run("show", TEXT, "--model", llama, *files)
    assert result.exit_code == 0, result.output
    assert (
        "no learned increments: every gap is 1" in result.output
        and "8 draws: standard error" in result.output
    )
    trace = Trace.load(tmp_path / "t.json")
    assert trace.kind == "sensitivity" and trace.text == TEXT and trace.error is not None
    with (tmp_path / "t.csv").open(encoding="utf-8-sig", newline="") as file:
        assert float(next(csv.DictReader(file))["standard_error"]) >= 0


def test_show_reads_token_ids_and_any_start(llama: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    result = run("show", "256 114 111", "--ids", "--model", llama, "--json", path, "--start", "255", "-q")
    assert result.exit_code == 0, result.output
    trace = Trace.load(path)
    assert (
        trace.context["prefix"] == [255] and trace.tokens.tolist() == [256, 114, 111] and trace.text == "ro"
    )
    assert "start must be" in mistake("show", "ab", "--model", llama, "--start", "first")
    assert "no chat template" in mistake("show", "ab", "--model", llama, "--chat")
    assert "not both" in mistake("show", "97 98", "--model", llama, "--chat", "--ids")
    assert "at least two tokens" in mistake("show", "a", "--model", llama, "--start", "none")


def test_generate_continues_with_any_model(llama: Path) -> None:
    result = run("generate", "rope", "--model", llama, "--length", 4, "--temperature", 0)
    assert result.exit_code == 0 and result.output.startswith("rope"), result.output


def test_probe_lists_the_most_sensitive_gaps_of_chosen_rows(llama: Path) -> None:
    result = run("probe", llama, TEXT, "--layers", "1", "--draws", 2, "--top", 2)
    assert result.exit_code == 0, result.output
    assert "13 gaps of 13 tokens in 1 rows" in result.output and "most sensitive gaps" in result.output
    assert "no layer 7" in mistake("probe", llama, TEXT, "--layers", "7")


def test_info_describes_it(llama: Path) -> None:
    found = json.loads(run("info", llama, "--json").output)
    assert (
        found["layers"] == 2
        and found["tokenizer"] == "UTF-8 bytes"
        and "every gap is 1" in found["increments"]
    )
    assert found["family"].startswith("llama") and found["RoPE"].startswith("default, theta")


def test_what_cannot_work_is_one_sentence(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("some text. " * 40)
    for words in (
        ("export-llama", llama, tmp_path / "x"),
        ("export-site", tmp_path / "x", "--model", llama),
        ("token-table", llama, tmp_path / "x.safetensors", "--recipe", tmp_path / "none.toml"),
        ("measure", "bytes", llama),
        ("measure", "knockout", llama, "--text", tmp_path / "t.txt"),
    ):
        assert "is a Hugging Face model; `ropewalk" in mistake(*words)
    assert "nothing to measure; use `ropewalk probe`" in mistake(
        "measure", "spacing", llama, "--text", tmp_path / "t.txt"
    )
    assert "has no learned increments" in mistake("vocabulary", llama)
    assert not (tmp_path / "x").exists()
