"""Which errors are the compiler's: a training goes on eagerly after those, and stops at every other."""

from __future__ import annotations

import errno
import os
import subprocess
from typing import Any

import pytest
import torch

from ropewalk.training import compilation
from ropewalk.training.compilation import Compiled, is_compiler_error, reason


def inductor(error: Exception) -> Exception:
    from torch._inductor.exc import InductorError

    found: Exception = InductorError(error, None)
    return found


def failures() -> dict[str, Exception]:
    from torch._inductor.exc import CppCompileError

    return {
        "disk full": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        "no compiler": FileNotFoundError(errno.ENOENT, "No such file or directory", "g++"),
        "read-only": PermissionError(errno.EACCES, "Permission denied", "/cache/x.so"),
        "killed": subprocess.CalledProcessError(-9, ["g++", "x.cpp"]),
        "endless": subprocess.TimeoutExpired(["g++"], 60),
        "truncated library": ImportError("/cache/x.main.so: file too short"),
        "broken code": inductor(CppCompileError(["g++", "x.cpp"], "x.cpp:1: error: expected ';'")),
        "truncated library in inductor": inductor(OSError("/cache/x.main.so: file too short")),
        "no graph": torch._dynamo.exc.Unsupported("call to something"),
    }


@pytest.mark.parametrize("name", failures())
def test_a_failure_of_the_compiler_means_eager_with_one_sentence(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error, calls = failures()[name], []

    def compile(function: Any, **_: object) -> Any:
        def fails(*args: object) -> object:
            calls.append(args)
            raise error

        return fails

    monkeypatch.setattr(torch, "compile", compile)
    monkeypatch.setattr(compilation, "open_cache", lambda: None)
    made = Compiled(lambda x: x + 1)
    assert is_compiler_error(error) and [made(1), made(2)] == [2, 3] and len(calls) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("ropewalk: running without compilation")
    assert "\n" not in reason(error) and len(reason(error)) < 400


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), MemoryError(), torch.OutOfMemoryError("x"), ZeroDivisionError(), RuntimeError("x")],
)
def test_errors_of_a_function_and_of_memory_are_not_the_compilers(error: Exception) -> None:
    assert not is_compiler_error(error)


def test_an_interrupt_is_never_taken_for_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "compile", lambda function, **_: interrupted)
    monkeypatch.setattr(compilation, "open_cache", lambda: None)
    made = Compiled(lambda x: x)
    with pytest.raises(KeyboardInterrupt):
        made(1)
    assert not made.eager
