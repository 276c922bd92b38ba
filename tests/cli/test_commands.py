from __future__ import annotations

import csv
import json

import numpy as np

from ropewalk.measure.capture import trace
from ropewalk.native import checkpoint


def test_show_writes_what_it_measured(ropewalk, model, tmp_path):
    text = "The 猫 sat."
    paths = {suffix: tmp_path / f"trace.{suffix}" for suffix in ("json", "csv", "png", "svg", "html")}
    options = [word for suffix, path in paths.items() for word in (f"--{suffix}", path)]
    answer = ropewalk("show", text, "--model", model, *options)
    assert answer.status == 0
    assert "L0" in answer.out and "L1" in answer.out
    written = json.loads(paths["json"].read_text())
    expected = trace(checkpoint.load_decoder(model), text)
    assert written["text"] == text
    assert written["tokens"] == list(text.encode())
    assert [(row["layer"], row["head"]) for row in written["rows"]] == [(0, None), (1, None)]
    np.testing.assert_array_equal(np.float32([row["increments"] for row in written["rows"]]), expected.values)
    rows = list(csv.DictReader(paths["csv"].read_text().splitlines()))
    assert len(rows) == 2 * len(text.encode())
    assert paths["png"].read_bytes().startswith(b"\x89PNG")
    assert "<svg" in paths["svg"].read_text()
    page = paths["html"].read_text()
    assert page.startswith("<!doctype html>") and expected.hash in page


def test_show_reads_files_and_standard_input_alike(ropewalk, model, tmp_path):
    (tmp_path / "text.txt").write_text("naïve 文字")
    for words, stdin in (
        (["naïve 文字"], b""),
        (["--file", tmp_path / "text.txt"], b""),
        ([], "naïve 文字".encode()),
        (["-"], "naïve 文字".encode()),
    ):
        out = tmp_path / "trace.json"
        assert ropewalk("show", *words, "--model", model, "--json", out, "-q", stdin=stdin).status == 0
        assert json.loads(out.read_text())["text"] == "naïve 文字"


def test_one_token_and_more_than_the_context(ropewalk, model, tmp_path):
    assert ropewalk("show", "a", "--model", model).status == 0
    answer = ropewalk("show", "abcdefgh" * 20, "--model", model)
    assert answer.status == 0
    assert "windows of 32" in answer.err


def test_hostile_text_reaches_the_terminal_harmless(ropewalk, model):
    answer = ropewalk("show", "\x1b[2J[red]no[/red]\x07\x00‮", "--model", model)
    assert answer.status == 0
    assert "\x1b[2J" not in answer.out and "\x07" not in answer.out and "[red]" in answer.out.replace(" ", "")


def test_train_resume_generate_info_freeze(ropewalk, texts):
    run = texts / "run"
    answer = ropewalk("train", texts / "recipe.toml", "--out", run, "--set", "train.steps=3")
    assert answer.status == 0, answer.err
    assert "L0" in answer.err and "bits/byte" in answer.err
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in metrics if "loss" in entry] == [1, 2, 3]
    content = json.loads(ropewalk("info", run / "model", "--json").out)
    assert content["provenance"]["step"] == 3 and content["parameters"] > 1000
    assert "bounded, one row per layer" in ropewalk("info", run / "model").out
    first = ropewalk("generate", "The ", "--model", run / "model", "--length", "8", "--seed", "3").out
    assert first == ropewalk("generate", "The ", "--model", run / "model", "--length", "8", "--seed", "3").out
    assert first.startswith("The ")
    table = texts / "table.safetensors"
    frozen = ropewalk("token-table", run / "model", table, "--recipe", texts / "recipe.toml")
    assert frozen.status == 0, frozen.err
    parametrization = [
        "--set",
        "model.increments.parametrization=frozen",
        "--set",
        f"model.increments.table={table}",
    ]
    assert ropewalk("train", texts / "recipe.toml", "--out", texts / "frozen", *parametrization).status == 0
    again = ropewalk("show", "ropes", "--model", texts / "frozen" / "model")
    assert again.status == 0, again.err


def test_prepare_tells_what_it_made(ropewalk, texts):
    answer = ropewalk("prepare", texts / "recipe.toml")
    assert answer.status == 0
    assert "validation" in answer.out and "16" in answer.out


def test_every_command_has_examples(ropewalk):
    from ropewalk.cli.commands import app

    for command in app.registered_commands:
        help_text = command.callback.__doc__
        assert help_text and "Examples:" in help_text, command.callback.__name__
        assert f"ropewalk {command.callback.__name__.replace('_', '-')}" in help_text
