"""Breaks the core on purpose and runs its tests: `python scripts/mutate.py`. A mutant that no test notices survives.

A mutant is one small change of one file: a comparison, an operator, a number, a branch, a call that is left out, the
development part in place of the test part (`mutants.py`). `NAMED` are larger ones that once survived. Tests run in a forked
process for each mutant (`mutant_tests.py`); the working tree is not touched. `equivalent_mutants.toml` lists changes that no
input can show, with their reasons. Exit status 1 if any other mutant survives.

A run can be done in pieces: `--kept FILE --minutes 15`, again and again. A mutant that was noticed is not tried again, nor
is a survivor until its tests change; exit status 3 while some are left.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import sys
import time
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mutant_tests import TESTS, Collected, Measured, fresh_status
from mutants import ROOT, SOURCE, Mutant, mutants

TARGETS: dict[str, tuple[str, ...]] = {
    "core/increments.py": (
        "core/test_increment_network.py",
        "core/test_random_increments.py",
        "core/test_increments.py",
        "core/test_absolute.py",
    ),
    "core/positions.py": ("core/test_positions.py", "core/test_absolute.py"),
    "core/encoding.py": (
        "core/test_encoding.py",
        "core/test_attention.py",
        "parity/test_bands.py::test_the_other_half_turns_with_integer_positions",
    ),
    "core/decay.py": ("core/test_decay_features.py", "core/test_attention.py"),
    "core/loss.py": ("core/test_loss_values.py", "core/test_loss.py"),
    "native/kv_cache.py": ("native/test_kv_cache.py", "native/test_generate.py"),
    "native/generate.py": ("native/test_generate.py",),
    "hf/cache_state.py": ("hf/test_cache_state.py", "hf/test_hf_caches.py"),
    "tokens/utf8_bytes.py": ("tokens/test_utf8_bytes.py", "tokens/test_token_checks.py"),
    "tokens/tokenizer.py": ("tokens/test_token_checks.py",),
    "traces/trace.py": ("traces/test_trace.py", "traces/test_trace_file.py"),
    "traces/checks.py": ("traces/test_trace.py", "traces/test_trace_file.py"),
    "traces/builder.py": ("traces/test_builder.py", "measure/test_capture.py"),
    "corpus/split.py": ("corpus/test_corpus_split.py", "corpus/test_corpus_prepare.py"),
    "corpus/windows.py": ("corpus/test_corpus_windows.py",),
    "live/guard.py": ("live/test_live_guard.py",),
    "analyses/statistics.py": (
        "analyses/test_statistics_values.py",
        "analyses/test_analyses_statistics.py",
        "analyses/test_rounding.py",
    ),
    "analyses/boundaries.py": ("analyses/test_boundaries_values.py", "analyses/test_test_data.py"),
    "analyses/signal_comparison.py": ("analyses/test_signal_comparison.py",),
    "analyses/segmentation.py": ("analyses/test_statistics_values.py", "analyses/test_rounding.py"),
}
"""Core files, and the tests that must notice any change of them."""


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


def equivalent() -> dict[str, str]:
    """Changes that no input can show: key of the mutant -> why."""
    groups = tomllib.loads((ROOT / "scripts" / "equivalent_mutants.toml").read_text())["group"]
    return {key: group["reason"] for group in groups for key in group["mutants"]}


def named_survivors() -> list[str]:
    """Runs the named mutants; those that survive."""
    survivors = []
    for one in NAMED:
        source = (SOURCE / one.file).read_text()
        if source.count(one.old) != 1:
            sys.exit(f"{one.what}: its text is not found once in {one.file}; update the list.")
        if fresh_status(one.file, source, one.tests):
            sys.exit(f"{one.what}: its tests fail without the change.")
        alive = fresh_status(one.file, source.replace(one.old, one.new), one.tests) == 0
        print(f"{'SURVIVED' if alive else 'noticed '}  {one.what}", flush=True)
        survivors += [one.what] if alive else []
    return survivors


class Kept:
    """What is known so far, in a JSON file: of mutants, "noticed" or the tests that one survived, by their hash; of tests, what they run."""

    def __init__(self, path: Path | None, minutes: float | None) -> None:
        self.path = path
        self.until = float("inf") if minutes is None else time.monotonic() + 60 * minutes
        content = json.loads(path.read_text()) if path is not None and path.exists() else {}
        self.mutants: dict[str, str] = content.get("mutants", {})
        self.tests: dict[str, Any] = content.get("tests", {})

    def save(self) -> None:
        if self.path is not None:
            self.path.write_text(json.dumps({"mutants": self.mutants, "tests": self.tests}, indent=0) + "\n")

    def stop_when_due(self) -> None:
        if time.monotonic() > self.until:
            self.save()
            print("time is up; run again to go on")
            sys.exit(3)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def survivors_of(file: str, most: int | None, seed: int, kept: Kept) -> tuple[int, list[Mutant]]:
    """How many mutants of a file were tried, and those that survive."""
    tests, source = TARGETS[file], (SOURCE / file).read_text()
    every, known = list(mutants(file)), equivalent()
    if gone := {key for key in known if key.startswith(f"{file}: ")} - {one.key for one in every}:
        sys.exit(f"equivalent_mutants.toml lists what is no mutant (any more): {min(gone)}")
    tried = [one for one in every if one.key not in known]
    if most is not None and most < len(tried):
        tried = random.Random(seed).sample(tried, most)
    names = {one: _digest(one.file + one.source) for one in tried}
    today = _digest(*((TESTS / test.partition("::")[0]).read_text() for test in tests))

    def note(one: Mutant, status: int) -> None:
        kept.mutants[names[one]] = "noticed" if status else today

    left = [one for one in tried if kept.mutants.get(names[one]) not in ("noticed", today)]
    if left:
        fresh, key = [], _digest(source, today)
        measured = Measured(**kept.tests[key]) if key in kept.tests else None
        with contextlib.closing(Collected(file, tests, left, measured)) as collected:
            kept.tests[key] = asdict(collected.measured)
            for number, one in enumerate(left):
                kept.stop_when_due()
                status = collected.status(number)
                if status is None:
                    fresh.append(one)
                else:
                    note(one, status)
        if fresh and fresh_status(file, source, tests):
            sys.exit(f"{file}: its tests fail without a change.")
        for one in fresh:
            kept.stop_when_due()
            note(one, fresh_status(file, one.source, tests))
        kept.save()
    survivors = [one for one in tried if kept.mutants[names[one]] != "noticed"]
    for one in survivors:
        print(f"  SURVIVED {file}:{one.line}: {one.change[:160]}", flush=True)
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
    import beartype  # noqa: F401
    import hypothesis  # noqa: F401
    import jaxtyping  # noqa: F401
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
