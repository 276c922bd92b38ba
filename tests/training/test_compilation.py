"""The compiler is a program that fails: missing, killed, out of disk, or with a damaged cache. Training goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ropewalk.training import compilation, compiler_cache
from ropewalk.training.compiler_cache import CompilerCache, verified

STEP = """
import torch
from ropewalk.training.compilation import compiled, compiler_problem
print(compiler_problem())
f = compiled(lambda x, w: torch.nn.functional.silu(x @ w).sum(-1) * x[..., 0])
x, w = torch.ones(8, 16, requires_grad=True), torch.ones(16, 16, requires_grad=True)
f(x, w).sum().backward()
print(f.eager, float(x.grad.sum()))
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in compiler_cache.VARIABLES:
        monkeypatch.setenv(name, "")  # put back afterwards
    return tmp_path / "compiled"


def made(root: Path, name: str = "ab/one.so") -> CompilerCache:
    """A cache in which something was compiled."""
    cache = CompilerCache(root)
    (cache.folder / name).parent.mkdir(exist_ok=True)
    (cache.folder / name).write_bytes(b"code")
    return cache


def test_what_one_process_compiled_the_next_one_finds(root: Path) -> None:
    first = made(root)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(first.folder)
    first.close()
    second = CompilerCache(root)
    assert (second.folder / "ab" / "one.so").read_bytes() == b"code"
    second.close()
    assert [path.name for path in root.iterdir()] == [first.store.name] and verified(first.store)


def test_two_processes_at_once_do_not_share_a_file(root: Path) -> None:
    first, second = made(root), made(root, "cd/two.so")
    assert not (second.folder / "ab").exists()
    first.close()
    second.close()
    assert verified(first.store)


@pytest.mark.parametrize("damage", [b"", b"codf", None])
def test_a_damaged_store_is_made_again(root: Path, damage: bytes | None) -> None:
    first = made(root)
    first.close()
    file = first.store / "ab" / "one.so"
    file.unlink() if damage is None else file.write_bytes(damage)
    second = CompilerCache(root)
    assert not (second.folder / "ab").exists() and not second.store.exists()
    made(root).close()
    assert verified(second.store)
    second.close()


def test_an_empty_library_or_a_failure_is_not_kept(root: Path) -> None:
    killed = made(root)
    (killed.folder / "ab" / "two.main.so").touch()
    killed.close()
    failed = made(root)
    failed.restart()
    failed.close()
    assert list(root.iterdir()) == []


def test_a_full_disk_keeps_nothing_and_says_so(root: Path, monkeypatch, capsys) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    cache = made(root)
    monkeypatch.setattr(compiler_cache, "write_folder", full)
    cache.close()
    assert "No space left" in capsys.readouterr().err and list(root.iterdir()) == []


def test_folders_of_killed_processes_are_deleted_those_of_living_ones_are_not(root: Path) -> None:
    alive = made(root)
    (root / ".999-dead").mkdir()
    compiler_cache._sweep(root)
    assert [path.name for path in root.iterdir()] == [alive.folder.name]
    alive.close()


def test_a_folder_that_the_user_chose_is_used(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(compiler_cache, "_open", None)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "mine"))
    assert compiler_cache.open_cache() is None


class Failing:
    """What torch.compile returns while the compiler fails: `times` times."""

    def __init__(self, function, times: int, error: Exception) -> None:
        self.function, self.times, self.error = function, times, error

    def __call__(self, *args: object) -> object:
        if self.times:
            self.times -= 1
            raise self.error
        return self.function(*args)


@pytest.mark.parametrize(
    ("times", "store", "eager"), [(0, True, False), (1, True, False), (9, True, True), (1, False, True)]
)
def test_one_more_try_then_eager_with_one_sentence(root, monkeypatch, capsys, times, store, eager) -> None:
    left = [times]

    def compile(function, **_: object):
        failing = Failing(function, left[0], torch._dynamo.exc.InternalTorchDynamoError("file too short"))
        left[0] = max(0, left[0] - 1)
        return failing

    cache = CompilerCache(root) if store else None
    monkeypatch.setattr(compilation, "open_cache", lambda: cache)
    monkeypatch.setattr(torch, "compile", compile)
    function = compilation.compiled(lambda x: x + 1)
    assert [function(1), function(2)] == [2, 3]
    assert function.eager is eager
    content = capsys.readouterr().err
    assert content.count("\n") == eager and ("file too short" in content) is eager
    if cache is not None:
        cache.close()
        assert not list(root.glob(".*"))


def test_errors_of_the_function_are_its_own(monkeypatch) -> None:
    monkeypatch.setattr(compilation, "open_cache", lambda: None)
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    for error in (ValueError("mine"), torch.OutOfMemoryError("memory"), KeyboardInterrupt()):

        def fails(failure: BaseException = error) -> None:
            raise failure

        with pytest.raises(type(error)):
            compilation.compiled(fails)()


def process(folder: Path, **environment: str) -> subprocess.Popen[str]:
    known = {key: value for key, value in os.environ.items() if key not in compiler_cache.VARIABLES}
    return subprocess.Popen(
        [sys.executable, "-c", STEP],
        env=known | {"ROPEWALK_CACHE": str(folder)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_broken_compiler_means_eager(tmp_path: Path) -> None:
    out, err = process(tmp_path, CXX="/bin/false").communicate(timeout=500)
    problem, step = out.splitlines()
    assert problem.startswith("torch could not compile") and step.startswith("True ")
    assert err.count("ropewalk: running without compilation") == 1 and "Traceback" not in err


def test_a_run_after_killed_ones_works(tmp_path: Path) -> None:
    for seconds in (6.0, 9.0):
        running = process(tmp_path)
        time.sleep(seconds)
        running.send_signal(signal.SIGKILL)
        running.wait()
        running.communicate()
    running = process(tmp_path)
    out, err = running.communicate(timeout=500)
    assert (
        running.returncode == 0 and out.splitlines()[0] == "None" and out.splitlines()[1].startswith("False ")
    ), err
    assert [path.name[0] != "." for path in (tmp_path / "compiled").iterdir()] == [True]
