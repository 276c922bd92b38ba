"""Breaks the core on purpose and runs its tests: `python scripts/mutate.py`. A mutant that no test notices survives.

A mutant is one small change of one file: a comparison, an operator, a number, a branch, a call that is left out, the
development part in place of the test part. `NAMED` are larger ones that once survived. Tests run in a forked process for
each mutant, with the changed source in place of the file; the working tree is not touched. `EQUIVALENT` lists changes
that no input can show, each with its reason. Exit status 1 if any other mutant survives.

A run can be done in pieces: `--kept FILE --minutes 15`, again and again. A mutant that was noticed is not tried again, nor
is a survivor until its tests change; exit status 3 while some are left.
"""

from __future__ import annotations

import argparse
import ast
import copy
import hashlib
import importlib.abc
import importlib.util
import json
import os
import random
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "ropewalk"
TESTS = ROOT / "tests"
SECONDS = 120
"""Processor time of the tests of one mutant; one that takes longer hangs, which is noticed."""

TARGETS: dict[str, tuple[str, ...]] = {
    "core/increments.py": (
        "core/test_increment_network.py",
        "core/test_random_increments.py",
        "core/test_increments.py",
    ),
    "core/positions.py": ("core/test_positions.py", "core/test_absolute.py"),
    "core/encoding.py": ("core/test_encoding.py", "core/test_attention.py"),
    "core/decay.py": ("core/test_decay_features.py", "core/test_attention.py", "native/test_decoder.py"),
    "core/loss.py": ("core/test_loss_values.py", "core/test_loss.py"),
    "native/kv_cache.py": ("native/test_generate.py", "native/test_decoder.py"),
    "native/generate.py": ("native/test_generate.py",),
    "hf/cache_state.py": ("hf/test_cache_state.py", "hf/test_hf_caches.py"),
    "tokens/utf8_bytes.py": ("tokens/test_utf8_bytes.py", "tokens/test_token_checks.py"),
    "tokens/tokenizer.py": ("tokens/test_token_checks.py",),
    "traces/trace.py": ("traces/test_trace.py", "traces/test_trace_file.py"),
    "traces/checks.py": ("traces/test_trace.py", "traces/test_trace_file.py"),
    "traces/builder.py": ("measure/test_capture.py",),
    "corpus/split.py": ("corpus/test_corpus_split.py", "corpus/test_corpus_prepare.py"),
    "corpus/windows.py": ("corpus/test_corpus_windows.py",),
    "live/guard.py": ("live/test_live_guard.py",),
    "analyses/statistics.py": (
        "analyses/test_statistics_values.py",
        "analyses/test_analyses_statistics.py",
        "analyses/test_test_data.py",
    ),
    "analyses/boundaries.py": ("analyses/test_test_data.py", "analyses/test_analyses_boundaries.py"),
    "analyses/signal_comparison.py": ("analyses/test_test_data.py", "analyses/test_models_compared.py"),
    "analyses/segmentation.py": (
        "analyses/test_test_data.py",
        "analyses/test_statistics_values.py",
        "analyses/test_analyses_boundaries.py",
    ),
}
"""Core files, and the tests that must notice any change of them."""


@dataclass(frozen=True)
class Mutant:
    """A changed source: `line` of the original, its text, and what became of it."""

    file: str
    line: int
    text: str
    change: str
    source: str

    @property
    def key(self) -> str:
        return f"{self.file}: {self.text}: {self.change}"


@dataclass(frozen=True)
class Named:
    """A change that once went unnoticed: text of a file, what replaces it, and the tests that notice."""

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


NAMED: tuple[Named, ...] = (
    Named(
        "the row is chosen on test data", "analyses/boundaries.py",
        "key=lambda i: by_row[i][s].dev)", "key=lambda i: by_row[i][s].auc)", ("analyses/test_test_data.py",),
    ),
    Named(
        "the sign is chosen on test data", "analyses/boundaries.py",
        "forward = statistics.auc(dev, part.dev.labels)", "forward = statistics.auc(test, part.test.labels)",
        ("analyses/test_test_data.py",),
    ),
    Named(
        "the spread of seeds is left out of the interval", "analyses/statistics.py",
        "return with_interval(float(np.mean(values)), between, within, bounds=bounds)",
        "return with_interval(float(np.mean(values)), within, bounds=bounds)",
        ("analyses/test_analyses_statistics.py", "analyses/test_statistics_values.py"),
    ),
    Named(
        "random increments no longer have mean 1", "core/increments.py",
        "self.s**2 / 2", "self.s**2", ("core/test_random_increments.py",),
    ),
    Named(
        "a reset static cache keeps its running sum", "hf/cache_state.py",
        "self.last.zero_()", "pass", ("hf/test_cache_state.py",),
    ),
    Named(
        "selected rows of a cache keep the sums of others", "hf/cache_state.py",
        "self._change_rows(lambda rows: rows[indices])", "pass", ("hf/test_cache_state.py",),
    ),
    Named(
        "the server compares 8 bytes of the token", "live/guard.py",
        "secrets.compare_digest(path[: len(self.base)], self.base)",
        "secrets.compare_digest(path[:8], self.base[:8])", ("live/test_live_guard.py",),
    ),
    Named(
        "the decoding step exponentiates without subtracting the largest score", "native/numpy_step.py",
        "np.exp(scores - np.maximum.reduce(scores, -1, keepdims=True))", "np.exp(scores)",
        ("native/test_numpy_step_range.py",),
    ),
    Named(
        "a position that repeats is not taken for a restart", "native/decoder.py",
        "restarts = position_ids[:, 1:] <= position_ids[:, :-1]",
        "restarts = position_ids[:, 1:] < position_ids[:, :-1]", ("native/test_restarts.py",),
    ),
    Named(
        "the folder of a replaced file is not flushed", "system/files.py",
        "        sync_folder(target.parent)\n", "        pass\n", ("system/test_files.py",),
    ),
    Named(
        "the header of weights may have any length", "native/model_folder.py",
        "if length > min(size, LONGEST_HEADER):", "if length > size:", ("faults/test_bounds.py",),
    ),
    Named(
        "held-out documents may repeat in training", "corpus/split.py",
        "if digest in held:", "if False:", ("corpus/test_corpus_split.py",),
    ),
)  # fmt: skip

EQUIVALENT: dict[str, str] = {
    "analyses/statistics.py: if freedom < 1:: if freedom < 1:     return float('nan') -> if False:     return float('nan')": (
        "a single pair has an error of NaN, which gives NaN in any case"
    ),
    "core/positions.py: running = ends = offsets(r, initial_sum=zero if initial_sum is None else initial_sum)[0]: 0 -> 1": (
        "both are the same tensor for gap before"
    ),
}
"""Changes that no input can show: key of the mutant -> why."""

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
NAMES = {"dev": "test", "test": "dev", "min": "max", "max": "min", "any": "all", "all": "any", "argmax": "argmin",
         "amax": "amin", "argmin": "argmax", "cumsum": "cumprod"}  # fmt: skip
SKIPPED = (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom)


def mutants(file: str) -> Iterator[Mutant]:
    """Every mutant of a file below the package."""
    source = (SOURCE / file).read_text()
    tree = ast.parse(source)
    seen = set()
    for number, node in enumerate(_nodes(tree)):
        for variant in range(len(_changes(copy.deepcopy(node)))):
            changed = copy.deepcopy(tree)
            other = list(_nodes(changed))[number]
            before = ast.unparse(other)
            _changes(other)[variant]()
            after = ast.unparse(other)
            line = getattr(node, "lineno", 0)
            change = f"{before} -> {after}".replace("\n", " ")
            text = ast.unparse(ast.fix_missing_locations(changed))
            if text not in seen and before != after:
                seen.add(text)
                yield Mutant(file, line, source.splitlines()[line - 1].strip(), change, text)


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that may be changed, in order; errors, annotations, decorators and docstrings are left alone."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, SKIPPED):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            yield child
            if not isinstance(child, ast.JoinedStr):
                yield from _nodes(child)


def _changes(node: Any) -> list[Any]:
    """Functions that each change the node in place."""
    found: list[Any] = []

    def put(name: str, value: Any) -> None:
        found.append(lambda: setattr(node, name, value))

    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        put("ops", [COMPARISONS[type(node.ops[0])](), *node.ops[1:]])
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in OPERATORS:
        put("op", OPERATORS[type(node.op)]())
    elif isinstance(node, ast.BoolOp):
        put("op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp):
        put("op", ast.UAdd() if isinstance(node.op, ast.USub) else ast.Not())
        if not isinstance(node.op, ast.USub):
            operand = node.operand
            found[:] = [lambda: node.__dict__.update(op=ast.Not(), operand=ast.UnaryOp(ast.Not(), operand))]
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        put("value", not node.value)
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        put("value", node.value + 1 if type(node.value) is int else node.value * 2 or 1.0)
    elif isinstance(node, ast.IfExp):
        body, orelse = node.body, node.orelse
        found.append(lambda: node.__dict__.update(body=orelse, orelse=body))
    elif isinstance(node, ast.If):
        put("test", ast.Constant(True))
        put("test", ast.Constant(False))
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        put("value", ast.Constant(None))
    elif isinstance(node, ast.Attribute) and node.attr in NAMES:
        put("attr", NAMES[node.attr])
    elif isinstance(node, ast.Name) and node.id in NAMES:
        put("id", NAMES[node.id])
    return found


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


def status(file: str, source: str, tests: tuple[str, ...], seconds: int = SECONDS) -> int:
    """The exit status of the tests with a changed file, in a process of its own; 0 where nothing is noticed."""
    child = os.fork()
    if not child:
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
            silent = os.open(os.devnull, os.O_RDWR)
            for handle in (0, 1, 2):
                os.dup2(silent, handle)
            sys.meta_path.insert(0, _Finder(file, source))
            import pytest

            chosen = [str(TESTS / name) for name in tests if (TESTS / name.partition("::")[0]).exists()]
            options = ["-x", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist"]
            options += [
                "-W",
                "ignore::pytest.PytestAssertRewriteWarning",
            ]  # of what was imported before the fork
            os._exit(int(pytest.main([*options, "--rootdir", str(ROOT), *chosen])) if chosen else 5)
        except BaseException:
            os._exit(9)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def named_survivors() -> list[str]:
    """Runs the named mutants; those that survive."""
    survivors = []
    for one in NAMED:
        source = (SOURCE / one.file).read_text()
        if source.count(one.old) != 1:
            sys.exit(f"{one.what}: its text is not found once in {one.file}; update the list.")
        if status(one.file, source, one.tests):
            sys.exit(f"{one.what}: its tests fail without the change.")
        alive = status(one.file, source.replace(one.old, one.new), one.tests) == 0
        print(f"{'SURVIVED' if alive else 'noticed '}  {one.what}", flush=True)
        survivors += [one.what] if alive else []
    return survivors


class Kept:
    """What became of each mutant so far, in a JSON file: "noticed", or the tests that it survived, by their hash."""

    def __init__(self, path: Path | None, minutes: float | None) -> None:
        self.path = path
        self.until = float("inf") if minutes is None else time.monotonic() + 60 * minutes
        self.known: dict[str, str] = (
            json.loads(path.read_text()) if path is not None and path.exists() else {}
        )

    def survives(self, one: Mutant, tests: tuple[str, ...]) -> bool:
        """Runs the tests of a mutant, unless what becomes of it is known."""
        name, chosen = (
            _digest(one.file + one.source),
            _digest(*((TESTS / test).read_text() for test in tests)),
        )
        if self.known.get(name) not in ("noticed", chosen):
            if time.monotonic() > self.until:
                self.save()
                print("time is up; run again to go on")
                sys.exit(3)
            self.known[name] = chosen if status(one.file, one.source, tests) == 0 else "noticed"
        return self.known[name] != "noticed"

    def save(self) -> None:
        if self.path is not None:
            self.path.write_text(json.dumps(self.known, indent=0) + "\n")


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def survivors_of(file: str, most: int | None, seed: int, kept: Kept) -> tuple[int, list[Mutant]]:
    """How many mutants of a file were tried, and those that survive."""
    tests = TARGETS[file]
    if status(file, (SOURCE / file).read_text(), tests):
        sys.exit(f"{file}: its tests fail without a change.")
    tried = [one for one in mutants(file) if one.key not in EQUIVALENT]
    if most is not None and most < len(tried):
        tried = random.Random(seed).sample(tried, most)
    survivors = []
    for one in tried:
        if kept.survives(one, tests):
            survivors.append(one)
            print(f"  SURVIVED {file}:{one.line}: {one.change[:160]}", flush=True)
    kept.save()
    return len(tried), survivors


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--named", action="store_true", help="only the named mutants")
    parser.add_argument("--only", help="files whose path contains this, and no named mutants")
    parser.add_argument("--sample", type=int, help="at most so many mutants of each file")
    parser.add_argument("--seed", type=int, default=0, help="which ones, with --sample")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--kept", type=Path, help="what became of each mutant; read, and written at the end")
    parser.add_argument("--minutes", type=float, help="stop after so many; go on with the same --kept")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.path[:0] = [str(ROOT / "src"), str(TESTS / "support")]
    import hypothesis  # noqa: F401
    import numpy  # noqa: F401
    import pydantic  # noqa: F401
    import pytest  # noqa: F401
    import scipy.stats  # noqa: F401
    import torch  # noqa: F401
    import transformers  # noqa: F401

    began, kept = time.monotonic(), Kept(given.kept, given.minutes)
    figures, alive = {}, [] if given.only else named_survivors()
    for file in () if given.named else TARGETS:
        if given.only and given.only not in file:
            continue
        tried, survivors = survivors_of(file, given.sample, given.seed, kept)
        figures[file] = {
            "tried": tried,
            "survived": [f"{one.line}: {one.change}" for one in survivors],
        }
        alive += [f"{one.file}:{one.line}: {one.change}" for one in survivors]
        print(f"{file}: {tried - len(survivors)} of {tried} noticed", flush=True)
    if given.json is not None:
        content = {
            "named": 0 if given.only else len(NAMED),
            "seconds": round(time.monotonic() - began),
            "files": figures,
        }
        given.json.write_text(json.dumps(content, indent=1) + "\n")
    sys.exit(bool(alive))


if __name__ == "__main__":
    main()
