"""graft-train, probe, vocabulary and export-llama: what they print, and one sentence for every mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import mistake, run

from ropewalk import Decoder, DecoderConfig, IncrementConfig, Trace
from ropewalk.hf import llama_export
from ropewalk.native import checkpoint

SHAPE: dict[str, Any] = {
    "context_length": 64,
    "hidden_size": 16,
    "num_heads": 2,
    "num_layers": 2,
    "intermediate_size": 16,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    unit = Decoder(DecoderConfig(**SHAPE, increments=IncrementConfig(parametrization="integer")))
    checkpoint.save_decoder(folder / "unit", unit, {})
    parametrization = IncrementConfig(parametrization="positive", per="shared", init="random")
    checkpoint.save_decoder(
        folder / "shared", Decoder(DecoderConfig(**SHAPE, increments=parametrization)), {}
    )
    llama_export.export(unit, folder / "llama")
    (folder / "texts.jsonl").write_text(
        "".join(json.dumps({"text": f"rope {i} is made and laid. " * 6}) + "\n" for i in range(12))
    )
    return folder


def test_graft_train_and_what_follows(models: Path, tmp_path: Path) -> None:
    options = (
        "--steps",
        2,
        "--batch-size",
        2,
        "--context-length",
        16,
        "--validation-documents",
        3,
        "--validation-tokens",
        64,
    )
    base = ("graft-train", models / "llama", "--corpus", models / "texts.jsonl", "--out", tmp_path / "run")
    result = run(*base, *options, "--precision", "float32")
    assert result.exit_code == 0, result.output
    assert "estimated memory on each of 1 process(es)" in result.output
    assert "95 % interval" in result.output and "L1: mean increment" in result.output
    kept = tmp_path / "run" / "grafted" / "model"
    report = run(
        "vocabulary", models / "llama", "--graft", kept, "--file", models / "texts.jsonl", "--extremes", 2
    )
    assert report.exit_code == 0 and "left out because training never saw them" in report.output
    assert "already holds a run" in mistake(*base, *options, "--precision", "float32")


def test_a_dry_run_prints_the_estimate_alone(models: Path, tmp_path: Path) -> None:
    result = run(
        "graft-train",
        models / "llama",
        "--corpus",
        models / "texts.jsonl",
        "--dry-run",
        "--trainable",
        "full",
    )
    assert result.exit_code == 0 and "M parameters" in result.output and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("model", ["llama", "unit"])
def test_probe(model: str, models: Path, tmp_path: Path) -> None:
    text = "the ropes are laid"
    path = tmp_path / "probe.json"
    options = ("--past", 6, "--window", 4, "--draws", 2, "--stretch", 1, "--json", path)
    result = run("probe", models / model, text, *options)
    assert result.exit_code == 0, result.output
    assert "gaps, each with 6 tokens before it and 4 after" in result.output
    assert "divergence" in result.output
    trace = Trace.load(path)
    assert trace.kind == "sensitivity" and len(trace.rows) == 2 and trace.text == text
    assert np.isfinite(trace.values).all(0).sum() == 8  # the gaps with enough text around them
    assert run("probe", models / model, text, *options[:6], "--dry-run").exit_code == 0


def test_vocabulary_of_a_native_model(models: Path, tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    seen = ("--trained-on", models / "texts.jsonl", "--json", path)
    result = run("vocabulary", models / "shared", *seen)
    assert result.exit_code == 0, result.output
    content = json.loads(path.read_text())
    assert [table["name"] for table in content] == ["vocabulary", "pattern", "extreme_tokens"]
    assert "left out because training never saw them" in content[0]["notes"][0]


def test_export(models: Path, tmp_path: Path) -> None:
    assert run("export-llama", models / "unit", tmp_path / "x").exit_code == 0
    assert (tmp_path / "x" / "config.json").exists()
    assert "learned increments" in mistake("export-llama", models / "shared", tmp_path / "y")


def test_mistakes(models: Path) -> None:
    llama_folder, texts = models / "llama", models / "texts.jsonl"
    assert "needs text" in mistake("graft-train", llama_folder)
    refused = run("graft-train", llama_folder, "--corpus", texts, "--trainable", "half")
    assert refused.exit_code == 2 and "'lora'" in refused.output
    assert "is a native model" in mistake("graft-train", models / "unit", "--corpus", texts)
    assert "unknown parametrization" in mistake(
        "graft-train", llama_folder, "--corpus", texts, "--parametrization", "no"
    )
    assert "is no local folder" in mistake("graft-train", "no/where", "--corpus", texts)
    assert "give a longer text" in mistake("probe", llama_folder, "short", "--past", "16")
    assert "has no learned increments" in mistake("vocabulary", llama_folder)
    assert "holds no model" in mistake("vocabulary", models / "shared", "--graft", models)
