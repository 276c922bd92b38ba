"""Mistakes people make: one clear sentence each, a non-zero status, no traceback, nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

TEXT = "The cat."


def tree(folder: Path) -> dict[str, int]:
    """Every file below a folder with its size."""
    return {str(p.relative_to(folder)): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}


def damaged(model: Path, to: Path, change) -> Path:
    shutil.copytree(model, to)
    change(to)
    return to


def edit_config(**changes):
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        for key, value in changes.items():
            section, _, last = key.rpartition("__")
            (config[section] if section else config)[last] = value
        (folder / "config.json").write_text(json.dumps(config))

    return change


def truncate(name: str, size: int):
    def change(folder: Path) -> None:
        with open(folder / name, "r+b") as file:
            file.truncate(size)

    return change


def flip_last_byte(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


# name -> (words, what the sentence must contain); TMP and MODEL are filled in.
SHOW = {
    "no such file": (["show", "--file", "TMP/missing.txt"], "missing.txt"),
    "a folder as file": (["show", "--file", "TMP"], "folder|director"),
    "empty file": (["show", "--file", "TMP/empty.txt"], "empty"),
    "binary file": (["show", "--file", "TMP/binary.txt"], "UTF-8"),
    "half a character": (["show", "--file", "TMP/half.txt"], "offset"),
    "UTF-16 file": (["show", "--file", "TMP/utf16.txt"], "UTF-16"),
    "empty text": (["show", ""], "empty"),
    "text and file": (["show", TEXT, "--file", "TMP/good.txt"], "either"),
    "no text at all": (["show"], "empty|no text"),
    "unknown scale": (["show", TEXT, "--scale", "log"], "'row', 'same', 'integer'"),
    "unknown start": (["show", TEXT, "--start", "middle"], "auto, bos, none"),
    "unknown placement": (["show", TEXT, "--placement", "middle"], "'first', 'last'"),
    "unknown option": (["show", TEXT, "--color", "red"], "--color"),
    "png into no folder": (["show", TEXT, "--png", "TMP/no/where.png"], "does not exist"),
    "png is a folder": (["show", TEXT, "--png", "TMP"], "folder"),
    "json without suffix": (["show", TEXT, "--json", "TMP/trace"], "json"),
    "no such model": (["show", TEXT, "--model", "TMP/none"], "does not exist"),
    "model is a file": (["show", TEXT, "--model", "TMP/good.txt"], "is a file|does not exist"),
    "model is an empty folder": (["show", TEXT, "--model", "TMP/nothing"], "config.json"),
}
OTHER = {
    "no such command": (["shwo", TEXT], "shwo"),
    "empty prompt": (["generate", "", "--model", "MODEL"], "empty"),
    "negative temperature": (["generate", "a", "--model", "MODEL", "--temperature", "-1"], "temperature"),
    "top-p above one": (["generate", "a", "--model", "MODEL", "--top-p", "1.5"], "top_p"),
    "no length": (["generate", "a", "--model", "MODEL", "--length", "0"], "length"),
    "length is a word": (["generate", "a", "--model", "MODEL", "--length", "many"], "integer"),
    "info of nothing": (["info", "TMP/none"], "does not exist"),
    "no such recipe": (["train", "TMP/none.toml"], "none.toml"),
    "recipe is no TOML": (["train", "TMP/good.txt"], "TOML"),
    "unknown key": (["train", "TMP/recipe.toml", "--set", "train.stpes=3"], "stpes"),
    "unknown section": (["train", "TMP/recipe.toml", "--set", "trian.steps=3"], "trian"),
    "override without value": (["train", "TMP/recipe.toml", "--set", "train.steps"], "section.key=value"),
    "unknown parametrization": (
        ["train", "TMP/recipe.toml", "--set", "model.increments.parametrization=cubic"],
        "bounded",
    ),
    "unknown encoding": (["train", "TMP/recipe.toml", "--set", "model.encoding=sine"], "rope"),
    "width not divisible": (["train", "TMP/recipe.toml", "--set", "model.hidden_size=17"], "multiple"),
    "no steps": (["train", "TMP/recipe.toml", "--set", "train.steps=0"], "steps"),
    "no GPU": (["train", "TMP/recipe.toml", "--set", "train.device=cuda"], "no GPU"),
    "context longer than the corpus": (
        ["train", "TMP/recipe.toml", "--set", "model.context_length=100000", "--out", "TMP/run"],
        "lower the context",
    ),
    "frozen without table": (
        ["train", "TMP/recipe.toml", "--set", "model.increments.parametrization=frozen", "--out", "TMP/run"],
        "token-table",
    ),
    "corpus file missing": (["prepare", "TMP/recipe.toml", "--set", "corpus.root=/nowhere"], "texts.jsonl"),
    "out is a file": (["train", "TMP/recipe.toml", "--out", "TMP/good.txt"], "good.txt"),
}


def fill(words: list[str], tmp: Path, model: Path) -> list[str]:
    return [word.replace("TMP", str(tmp)).replace("MODEL", str(model)) for word in words]


def check(answer, expected: str) -> None:
    import re

    assert answer.status not in (0, None)
    assert answer.out == ""
    assert answer.err.startswith("ropewalk: ")
    assert answer.err.count("\n") == 1, answer.err
    assert "Traceback" not in answer.err
    assert re.search(expected, answer.err), answer.err


@pytest.fixture
def bench(texts, model) -> Path:
    (texts / "good.txt").write_text("A good text.")
    (texts / "empty.txt").write_bytes(b"")
    (texts / "binary.txt").write_bytes(bytes(range(128, 256)))
    (texts / "half.txt").write_bytes("中文".encode()[:-1])
    (texts / "utf16.txt").write_bytes("text".encode("utf-16"))
    (texts / "nothing").mkdir()
    return texts


@pytest.mark.parametrize("name", SHOW)
def test_show(name, ropewalk, bench, model):
    words, expected = SHOW[name]
    before = tree(bench)
    if "--model" not in words:
        words = [*words, "--model", "MODEL"]
    check(ropewalk(*fill(words, bench, model)), expected)
    assert tree(bench) == before


@pytest.mark.parametrize("name", OTHER)
def test_other_commands(name, ropewalk, bench, model):
    words, expected = OTHER[name]
    before = tree(bench)
    check(ropewalk(*fill(words, bench, model)), expected)
    left = {path for path in tree(bench) if not path.endswith(".lock")} - set(before)
    assert not {path for path in left if "model.safetensors" in path or "checkpoints" in path}


@pytest.mark.parametrize(
    ("change", "expected"),
    {
        "truncated weights": (truncate("model.safetensors", 900), "damaged|does not fit|truncated"),
        "empty weights": (truncate("model.safetensors", 0), "damaged|truncated"),
        "one bit of the weights": (flip_last_byte, "hash"),
        "no weights": (lambda f: (f / "model.safetensors").unlink(), "does not exist"),
        "truncated config": (truncate("config.json", 40), "damaged"),
        "another format": (edit_config(format="other"), "(no|not a) ropewalk model"),
        "a later schema": (edit_config(schema=99), "upgrade"),
        "another architecture": (edit_config(model__hidden_size=32), "fit|expected"),
        "an unknown parametrization": (edit_config(model__encoding="sine"), "encoding"),
        "a huge architecture": (edit_config(model__hidden_size=2**40), "fit|expected|describes no model"),
    }.values(),
)
def test_damaged_models(change, expected, ropewalk, tmp_path, model):
    folder = damaged(model, tmp_path / "copy", change)
    check(ropewalk("show", TEXT, "--model", folder, "--json", tmp_path / "t.json"), expected)
    assert not (tmp_path / "t.json").exists()


def test_standard_input_must_be_utf8(ropewalk, model):
    check(ropewalk("show", "--model", model, stdin=b"\xff\xfe\x00"), "UTF")


def test_a_full_disk_leaves_nothing(ropewalk, model, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    answer = ropewalk("show", TEXT, "--model", model, "--json", tmp_path / "t.json", "--quiet")
    check(answer, "No space left")
    assert tree(tmp_path) == {}


def test_a_full_disk_stops_a_training_cleanly(ropewalk, texts, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ropewalk.native.checkpoint.save_file", full)
    answer = ropewalk("train", texts / "recipe.toml", "--out", texts / "run")
    assert answer.status == 1
    assert "No space left" in answer.err.splitlines()[-1]
    assert not list((texts / "run").rglob("*.safetensors"))
    assert not list((texts / "run").rglob(".step*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_may_not_be_written(ropewalk, model, tmp_path):
    tmp_path.chmod(0o500)
    check(ropewalk("show", TEXT, "--model", model, "--json", tmp_path / "t.json"), "permission")


def test_a_read_only_folder_is_refused_before_any_work(ropewalk, model, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    check(ropewalk("show", TEXT, "--model", model, "--json", tmp_path / "t.json"), "permission denied")


def test_a_finished_run_is_not_overwritten(ropewalk, texts):
    words = ("train", texts / "recipe.toml", "--out", texts / "run")
    assert ropewalk(*words).status == 0
    before = tree(texts / "run")
    check(ropewalk(*words), "--resume")
    assert tree(texts / "run") == before
    other = ropewalk(*words, "--resume", "--set", "model.num_layers=3")
    check(other, "another recipe")
