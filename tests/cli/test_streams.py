"""Odd streams, terminals and folders around a command: output that cannot be written, streams a parent has closed,
terminals of no width, a current folder that is gone, arguments in another encoding, standard input by its name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ropewalk import cli
from ropewalk.cli.options import TextInput

FULL = Path("/dev/full")


def refused(answer: Any, said: str) -> None:
    assert (answer.status, answer.out) == (1, ""), answer.err
    assert answer.err.startswith("ropewalk: ") and answer.err.count("\n") == 1 and said in answer.err


@pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is full")
def test_output_that_cannot_be_written_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FULL.open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        monkeypatch.setattr(sys, "argv", ["ropewalk", "--version"])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
    assert stopped.value.code == 1
    assert capsys.readouterr().err.startswith("ropewalk: cannot write the output: No space left on device")


def test_a_closed_standard_output_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "argv", ["ropewalk", "--version"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert not stopped.value.code
    sys.stdout.close()  # leads nowhere; pytest puts its own back


@pytest.mark.parametrize("columns", ["0", "3"])
def test_nothing_is_lost_in_a_terminal_of_no_or_few_columns(
    ropewalk: Callable[..., Any], model: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    answer = ropewalk("show", "abcdef", "--model", model)
    assert answer.status == 0 and "abcdef" in answer.out.replace(" ", "")


def test_a_folder_that_is_gone(
    ropewalk: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    refused(ropewalk("show", "abc"), "the current folder no longer exists")


def test_standard_input_by_its_name_and_closed(
    ropewalk: Callable[..., Any], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = ropewalk("show", "--file", "-", "--model", model, stdin=b"abcdef")
    assert answer.status == 0 and "abcdef" in answer.out.replace(" ", "")
    monkeypatch.setattr(sys, "stdin", None)
    for given in (TextInput("-"), TextInput(None, ["-"]), TextInput()):
        with pytest.raises(Exception, match="standard input is closed"):
            given.read()


def test_an_argument_that_the_locale_does_not_know() -> None:
    assert TextInput("\udcc3\udca9 a").read() == ("é a" if sys.platform != "win32" else "\udcc3\udca9 a")
    assert TextInput("a\udcff").read() == "a\udcff"  # refused as a lone surrogate where it becomes tokens


def test_files_and_folders_without_a_model_are_refused_by_what_they_are(
    ropewalk: Callable[..., Any], tmp_path: Path
) -> None:
    file, run = tmp_path / "notes.txt", tmp_path / "run"
    file.write_text("abc")
    (run / "model").mkdir(parents=True)
    refused(ropewalk("info", file), "notes.txt is a file and not a model; name a model folder")
    refused(ropewalk("info", tmp_path), f"{tmp_path} holds no model; name a folder with config.json")
    refused(ropewalk("info", run), f"run holds no model; name {os.path.join(run, 'model')}.")
