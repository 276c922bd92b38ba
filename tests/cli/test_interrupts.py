"""Ctrl-C is always answered with one sentence, and the sentence about what is saved is true."""

from __future__ import annotations

import fcntl
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from ropewalk.cli.train import stopped


def test_control_c_is_answered_while_a_command_waits() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ropewalk.cli", "show", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write("a")
    process.stdin.flush()
    while struct.unpack("i", fcntl.ioctl(process.stdin, termios.FIONREAD, bytes(4)))[0]:
        time.sleep(0.05)  # until the command has begun to read
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert err == "ropewalk: interrupted; no partial file was left behind.\n"


def test_control_c_is_answered_inside_a_command(ropewalk, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ropewalk.native.pretrained.model_names", interrupted)
    answer = ropewalk("info")
    assert answer.status == 130 and answer.err.startswith("ropewalk: interrupted")


def test_what_is_said_to_be_saved_is_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stopped(tmp_path, True).exit_code == 130
    assert "nothing is saved" in capsys.readouterr().err
    (tmp_path / "checkpoints" / "step-00000005").mkdir(parents=True)
    stopped(tmp_path, True)
    assert "step-00000005 is saved" in capsys.readouterr().err
    (tmp_path / "grafted" / "checkpoints" / "step-00000007").mkdir(parents=True)
    stopped(tmp_path, True)
    assert "grafted/step-00000007 is saved" in capsys.readouterr().err
    stopped(tmp_path, False)
    assert capsys.readouterr().err == ""
