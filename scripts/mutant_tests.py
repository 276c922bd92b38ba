"""Runs tests against changed versions of a source file, for `scripts/mutate.py`; the working tree is not touched.

`fresh_status` starts with nothing of ropewalk imported: it serves every change, and takes seconds. `Collected` is fast: one
process imports the tests of a file and collects them once, and forks for each mutant. The fork gives the changed function its
new code wherever a module, class or wrapper holds that function, so it serves a change inside a function that has not
been called yet, which is most. What each test runs by itself and how long it takes is measured once: a fork runs the tests
that run the changed function, those that run the changed line first, the fastest first, until one fails.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import importlib.abc
import importlib.util
import inspect
import json
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

from mutants import ROOT, SOURCE, Mutant

TESTS = ROOT / "tests"
SECONDS = 120
"""Processor time of the tests of one mutant; one that takes longer hangs, which is noticed."""
MEMORY = 16 << 30
"""Address space of the tests of one mutant; one that takes more fails, which is noticed."""


def fresh_status(file: str, source: str, tests: tuple[str, ...]) -> int:
    """The exit status of the tests with a changed file, in a process of its own; 0 where nothing is noticed."""

    def work() -> int:
        sys.meta_path.insert(0, _Finder(file, source))
        return _pytest(tests)

    return _forked(work, SECONDS)[0]


@dataclass(frozen=True)
class Measured:
    """What each test of a file runs: its lines and its processor time, by the test's name; and what its tests import."""

    lines: dict[str, list[int]]
    seconds: dict[str, float]
    imports: list[str]


class Collected:
    """The tests of a file, collected in a process that waits for mutants and forks for each.

    measured: what the tests run; None to measure it, each test in a process of its own, which exits if one fails.
    """

    def __init__(
        self, file: str, tests: tuple[str, ...], mutants: list[Mutant], measured: Measured | None
    ) -> None:
        self.here, there = multiprocessing.Pipe()
        server = _Server(there, str(SOURCE / file), mutants, measured)
        self.process = multiprocessing.get_context("fork").Process(target=_serve, args=(server, tests))
        self.process.start()
        there.close()
        self.measured: Measured = self._next()

    def _next(self) -> Any:
        try:
            answer = self.here.recv()
        except EOFError:
            answer = "the tests ended before they ran"
        if isinstance(answer, str):
            sys.exit(answer)
        return answer

    def status(self, number: int) -> int | None:
        """The exit status of the tests with one of the mutants; None where only a fresh import shows the change."""
        self.here.send(number)
        answer: int | None = self._next()
        return answer

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.here.send(None)
        self.process.join()


def _serve(server: _Server, tests: tuple[str, ...]) -> None:
    _silence()
    sys.setprofile(server.note_call)
    with tempfile.TemporaryDirectory() as folder:
        _pytest(tests, f"--basetemp={folder}/tests", plugins=[server])


class _Server:
    """A pytest plugin that runs the collected tests with one mutant after the other, instead of once."""

    def __init__(
        self, connection: Connection, path: str, mutants: list[Mutant], measured: Measured | None
    ) -> None:
        self.connection, self.path, self.mutants, self.measured = connection, path, mutants, measured
        self.called: set[CodeType] = set()  # by imports: too late to change

    def note_call(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename == self.path:
            self.called.add(frame.f_code)

    def pytest_runtestloop(self, session: Any) -> bool:
        for item in session.items:
            _stop_at_first_example(item)
        try:
            known = self.measured or self._measure(session)
        except RuntimeError as error:
            self.connection.send(str(error))
            return True
        for name in known.imports:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        sys.setprofile(None)
        original = compile(Path(self.path).read_text(), self.path, "exec", dont_inherit=True)
        functions: dict[CodeType, list[FunctionType]] = {}
        for each in gc.get_objects():
            if type(each) is FunctionType and each.__code__.co_filename == self.path:
                functions.setdefault(each.__code__, []).append(each)
        gc.freeze()
        limit = int(10 + 4 * sum(known.seconds.values()))
        self.connection.send(known)
        while (number := self.connection.recv()) is not None:
            line = self.mutants[number].line
            old, new = _changed_function(original, self.mutants[number].code) or (None, None)
            if old is None or old not in functions or old in self.called:
                self.connection.send(None)
                continue
            within = _lines(old)
            order = sorted(
                (item for item in session.items if not within.isdisjoint(known.lines[item.nodeid])),
                key=lambda item: (line not in known.lines[item.nodeid], known.seconds[item.nodeid]),
            )

            def work(old: Any = old, new: Any = new, order: list[Any] = order) -> int:
                for function in functions[old]:
                    function.__code__ = new
                return _run(session, order)

            self.connection.send(_forked(work, limit)[0])
        return True

    def _measure(self, session: Any) -> Measured:
        found = Measured({}, {}, [])
        for item in session.items:
            status, answer = _forked(functools.partial(self._traced, session, item), SECONDS)
            if status or answer is None:
                raise RuntimeError(f"{item.nodeid} fails without a change.")
            found.lines[item.nodeid], found.seconds[item.nodeid] = answer[:2]
            found.imports.extend(name for name in answer[2] if name not in sys.modules)
            for name in answer[2]:
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
        return found

    def _traced(self, session: Any, item: Any) -> int | tuple[list[int], float, list[str]]:
        """Runs one test: the lines that it runs, its seconds, and what it imports; 1 if it fails."""
        lines: set[int] = set()

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            if frame.f_code.co_filename != self.path:
                return None
            lines.add(frame.f_lineno)
            return trace

        before, began = set(sys.modules), time.process_time()
        sys.setprofile(None)
        threading.settrace(trace)
        sys.settrace(trace)
        failed = _run(session, [item])
        sys.settrace(None)
        return failed or (sorted(lines), time.process_time() - began, sorted(set(sys.modules) - before))


def _changed_function(old: CodeType, new: CodeType) -> tuple[CodeType, CodeType] | None:
    """The one outermost function that differs, before and after; None where a module or class itself does."""
    if old.co_flags & inspect.CO_OPTIMIZED:
        return old, new
    pairs = [
        (a, b) for a, b in zip(old.co_consts, new.co_consts, strict=False) if a != b or type(a) is not type(b)
    ]
    if old.replace(co_consts=()) != new.replace(co_consts=()) or len(pairs) != 1:
        return None
    a, b = pairs[0]
    return _changed_function(a, b) if isinstance(a, CodeType) and isinstance(b, CodeType) else None


def _lines(code: CodeType) -> set[int | None]:
    """The lines of a function, with those of functions in it."""
    inner = [_lines(each) for each in code.co_consts if isinstance(each, CodeType)]
    return {line for _, _, line in code.co_lines()}.union(*inner)


def _run(session: Any, items: list[Any]) -> int:
    """Runs collected tests until one fails; 1 if one did."""
    for item, following in zip(items, [*items[1:], None], strict=False):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            break
    return int(session.testsfailed > 0)


def _stop_at_first_example(item: Any) -> None:
    """Hypothesis need not look for the shortest example that fails."""
    from hypothesis import Phase, settings

    name = "_hypothesis_internal_use_settings"
    function = getattr(item, "obj", None)
    function = getattr(function, "__func__", function)
    if hasattr(function, name):
        phases = (Phase.explicit, Phase.reuse, Phase.generate)
        setattr(function, name, settings(getattr(function, name), phases=phases))


def _forked(work: Callable[[], Any], seconds: int) -> tuple[int, Any]:
    """Runs a function in a forked process: its exit status, and what it returned where that is no status itself."""
    with tempfile.TemporaryFile("w+") as answer:
        child = os.fork()
        if not child:
            try:
                os.setpgid(0, 0)
                resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
                signal.alarm(10 * seconds)
                _silence()
                result = work()
                if isinstance(result, int):
                    os._exit(result)
                json.dump(result, answer)
                answer.flush()
                os._exit(0)
            except BaseException:
                os._exit(9)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what the tests started and did not end
        answer.seek(0)
        content = answer.read()
    return status, json.loads(content) if content and not status else None


def _pytest(tests: Iterable[str], *options: str, plugins: list[Any] | None = None) -> int:
    import pytest

    chosen = [str(TESTS / name) for name in tests if (TESTS / name.partition("::")[0]).exists()]
    fixed = ["-x", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist"]
    fixed += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what was imported before the fork
    return int(pytest.main([*fixed, *options, "--rootdir", str(ROOT), *chosen], plugins)) if chosen else 5


def _silence() -> None:
    silent = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(silent, handle)
    os.close(silent)


class _Loader(importlib.abc.SourceLoader):
    """Loads one module from a changed source."""

    def __init__(self, path: Path, source: str) -> None:
        self.path, self.source = path, source

    def get_filename(self, fullname: str) -> str:
        return str(self.path)

    def get_data(self, path: str | bytes | os.PathLike[str]) -> bytes:
        if os.fspath(path) != str(self.path):
            raise OSError("no compiled file")
        return self.source.encode()


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, file: str, source: str) -> None:
        self.name = "ropewalk." + file.removesuffix(".py").replace("/", ".")
        self.loader = _Loader(SOURCE / file, source)

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(fullname, self.loader.path, loader=self.loader)
