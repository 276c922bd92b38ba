"""Feeds damaged files to every reader: `python scripts/fuzz.py --minutes 10`.

Each format of tests/faults/formats.py gets its share of the time in a process of its own, with limited memory. A
reader may succeed or raise a UserError; anything else (another exception, a warning, a hang, a dead process) is a
crash and is saved, made small, as tests/faults/crashes/FORMAT.HASH, where test_fuzzed.py reads it from then on.
Seeded: the same seed and number of executions damage in the same ways.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FAULTS = HERE.parent / "tests" / "faults"
CRASHES = FAULTS / "crashes"
sys.path.insert(0, str(FAULTS))

HANG = 20  # seconds of processor time
MEMORY = 8 << 30  # bytes of address space
BYTES = [
    b"",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\n",
    b"{",
    b"[" * 3000,
    b'"',
    b"NaN",
    b"1e999",
    b"\xed\xa0\x80",
    b"-1",
]
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2, 0.5, -0.0, 1e308, 10**18, 2**31, 2**63, 10**400, -(10**30), float("nan"),
    float("inf"), "", "x", "\ud800", "\0", "../../etc/passwd", "/", "\u202e", "é" * 300, [], {}, [[]], [None], ["x"],
    [1, 2], [-1], {"x": 1}, "cpu", [[[[1]]]], "nan", "1",
]  # fmt: skip
TOMLS = ["nan", "-inf", "0", "-1", "1e308", "9223372036854775807", "''", '"x"', "[]", "{}", "true", "1979-05-27",
         "[[]]", "[{}]", '"\\u0000"', '"../.."', "12:00:00", "0.5", "[nan]", "1_000_000_000"]  # fmt: skip


def mutated(data: bytes, kind: str, chance: random.Random) -> bytes:
    """The file with one to four damages of its kind."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        how = KINDS[kind] if chance.random() < 0.75 else _bytes
        data = how(data, chance)
    return data


def _bytes(data: bytes, chance: random.Random) -> bytes:
    a, b = sorted(chance.randint(0, len(data)) for _ in range(2))
    where = a if chance.random() < 0.7 or len(data) < 400 else chance.randint(0, 64)
    return chance.choice(
        [
            lambda: data[:a],
            lambda: data[:a] + data[b:],
            lambda: data[:a] + data[a:b] * 2 + data[b:],
            lambda: data[:where] + bytes([chance.randint(0, 255)]) + data[where + 1 :],
            lambda: data[:where] + bytes([chance.randint(0, 255)]) + data[where + 1 :],
            lambda: data[:where] + chance.choice(BYTES) + data[where:],
            lambda: data[:where] + chance.choice(BYTES) + data[where + 4 :],
            lambda: (
                data[:where]
                + bytes(x ^ 1 << chance.randint(0, 7) for x in data[where : where + 1])
                + data[where + 1 :]
            ),
        ]
    )()


def _places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = (
        list(content)
        if isinstance(content, dict)
        else range(len(content))
        if isinstance(content, list)
        else []
    )
    return [path, *(place for key in keys for place in _places(content[key], (*path, key)))]


def _json(data: bytes, chance: random.Random) -> bytes:
    """One value of a json file (or of one of its lines) replaced, left out, doubled or nested."""
    try:
        lines = [json.loads(data)] if b"\n{" not in data else [json.loads(line) for line in data.splitlines()]
    except (ValueError, RecursionError):
        return _bytes(data, chance)
    which = chance.randrange(len(lines))
    content, path = lines[which], chance.choice(_places(lines[which]))
    if not path:
        lines[which] = chance.choice(VALUES)
    else:
        parent = content
        for key in path[:-1]:
            parent = parent[key]
        key, kind = path[-1], chance.random()
        if kind < 0.6:
            parent[key] = chance.choice(VALUES)
        elif kind < 0.75:
            parent.pop(key)
        elif kind < 0.85 and isinstance(parent[key], int | float) and not isinstance(parent[key], bool):
            with suppress(OverflowError):  # an earlier mutation can have left a number beyond every float
                parent[key] = parent[key] * chance.choice((-1, 2, 0.5, 1e9))
        elif kind < 0.95:
            parent[key] = [parent[key]] if chance.random() < 0.5 else {"x": parent[key]}
        elif isinstance(parent, list):
            parent.append(parent[key])
        else:
            parent[chance.choice(("x", "", "schema", "\ud800"))] = parent.pop(key)
    return "\n".join(json.dumps(line, ensure_ascii=chance.random() < 0.9) for line in lines).encode(
        "utf-8", "surrogatepass"
    )


def _toml(data: bytes, chance: random.Random) -> bytes:
    """One value of a toml file replaced, one line left out or doubled."""
    lines = data.decode("utf-8", "replace").split("\n")
    i, kind = chance.randrange(len(lines)), chance.random()
    if kind < 0.15:
        lines.pop(i)
    elif kind < 0.25:
        lines.insert(chance.randrange(len(lines)), lines[i])
    else:
        values = list(re.finditer(r'(?<=[=\[,]) ?(?:"[^"]*"|[\w.+-]+)', lines[i]))
        if values:
            found = chance.choice(values)
            lines[i] = lines[i][: found.start()] + " " + chance.choice(TOMLS) + lines[i][found.end() :]
    return "\n".join(lines).encode()


def _safetensors(data: bytes, chance: random.Random) -> bytes:
    """The header of a safetensors file damaged as json, with its right length before it."""
    length = int.from_bytes(data[:8], "little")
    if chance.random() < 0.3:
        return _bytes(data, chance)
    header, body = _json(data[8 : 8 + length], chance), data[8 + length :]
    return (
        len(header).to_bytes(8, "little") + header + (body if chance.random() < 0.8 else _bytes(body, chance))
    )


def _gz(data: bytes, chance: random.Random) -> bytes:
    """What a gzip file holds, damaged as json and packed again."""
    try:
        return gzip.compress(_json(gzip.decompress(data), chance), 1)
    except Exception:  # already damaged as a file
        return _bytes(data, chance)


KINDS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "bytes": _bytes, "json": _json, "toml": _toml, "safetensors": _safetensors, "gz": _gz,
}  # fmt: skip


def problem(one: Any, folder: Path) -> str | None:
    """What reading a folder does wrong: the last lines of a traceback; None for success or a UserError."""
    from ropewalk.errors import UserError

    def late(number: int, frame: Any) -> None:
        raise TimeoutError(f"still reading after {HANG} s")

    signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, HANG)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            one.read(folder)
    except UserError as error:
        return f"the sentence has several lines: {error}" if "\n" in str(error) else None
    except Exception:
        content = traceback.format_exc().strip().splitlines()
        ours = [line.strip() for line in content if "/ropewalk/" in line]
        return f"{content[-1][:300]}  [{ours[-1] if ours else content[-3].strip()}]"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return None


class Bench:
    """A folder in which files are damaged, read, and made good again."""

    def __init__(self, one: Any, folder: Path) -> None:
        self.one, self.good, self.bad = one, folder / "good", folder / "bad"
        self.good.mkdir()
        one.make(self.good)
        self.data = (self.good / one.file).read_bytes()

    def put(self, data: bytes, seal: bool) -> None:
        """Puts damaged bytes into a fresh copy; its checksums fit where `seal`."""
        shutil.rmtree(self.bad, ignore_errors=True)
        shutil.copytree(self.good, self.bad)
        (self.bad / self.one.file).write_bytes(data)
        if seal:
            self.one.seal(self.bad)

    def problem(self, data: bytes, seal: bool) -> str | None:
        self.put(data, seal)
        return problem(self.one, self.bad)


def smaller(bench: Bench, data: bytes, seal: bool, what: str) -> bytes:
    """The crash with as many pieces cut out as can be while it stays the same problem."""
    place = what.rsplit("[", 1)[-1]
    size = len(data) // 2
    while size:
        at = 0
        while at < len(data):
            cut = data[:at] + data[at + size :]
            found = bench.problem(cut, seal)
            if found and found.rsplit("[", 1)[-1] == place:
                data = cut
            else:
                at += size
        size = size // 2 if len(data) < 20_000 else 0
    return data


def work(name: str, seconds: float, seed: int, most: int, keep: Path) -> tuple[int, dict[str, str]]:
    """Damages one format for so long; (executions, problem -> file it is kept in)."""
    from formats import FORMATS

    one, chance = FORMATS[name], random.Random(f"{seed} {name}")
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        bench, count, end = Bench(one, Path(place)), 0, time.monotonic() + seconds
        if whole := bench.problem(bench.data, seal=False):
            print(f"{name}: the good file is not read: {whole}", flush=True)
            os._exit(2)
        while count < most and (time.monotonic() < end or not seconds):
            data, seal = mutated(bench.data, one.kind, chance), chance.random() < 0.7
            (keep / f"{name}.now").write_bytes(data)
            count += 1
            if (what := bench.problem(data, seal)) and (where := what.rsplit("[", 1)[-1]) not in found:
                found[where] = _kept(name, smaller(bench, data, seal, what), seal, keep)
                print(f"  {name}: {what}\n    kept as {found[where]}", flush=True)
    (keep / f"{name}.now").unlink(missing_ok=True)
    return count, found


def _kept(name: str, data: bytes, seal: bool, keep: Path) -> str:
    path = keep / f"{name}.{'sealed' if seal else 'plain'}.{hashlib.sha256(data).hexdigest()[:8]}"
    path.write_bytes(data)
    return path.name


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=1.0, help="for all formats together")
    parser.add_argument("--executions", type=int, default=sys.maxsize, help="at most so many of each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="formats whose name contains this")
    parser.add_argument("--keep", type=Path, default=CRASHES, help="where crashes are saved")
    content = parser.parse_args()
    content.keep.mkdir(parents=True, exist_ok=True)
    from formats import FORMATS

    names = [name for name in FORMATS if content.only is None or content.only in name]
    seconds, failed = content.minutes * 60 / len(names), False
    for name in names:
        child = os.fork()
        if not child:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            try:
                count, found = work(name, seconds, content.seed, content.executions, content.keep)
                print(f"{name:20} {count:8,} executions, {len(found)} crashes", flush=True)
                os._exit(bool(found))
            except BaseException:
                traceback.print_exc()
                os._exit(2)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        failed |= status != 0
        if status < 0:
            (content.keep / f"{name}.now").rename(content.keep / f"{name}.sealed.died")
            print(f"  {name}: the process died of signal {-status}; kept as {name}.sealed.died")
    sys.exit(failed)


if __name__ == "__main__":
    main()
