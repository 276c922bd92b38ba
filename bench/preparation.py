"""Preparing a corpus of 16 MB of text, against merely hashing and copying its bytes.

python bench/preparation.py [--rounds N] [--busy]
"""

from __future__ import annotations

import hashlib
import random
import shutil
import tempfile
from pathlib import Path

import harness

from ropewalk.corpus import CorpusConfig, Source, prepare

MEGABYTES = 16
BASE = "hash and copy"


def write(folder: Path) -> None:
    """Documents of made-up words: as many bytes of text as asked for, in 16 files, none twice."""
    chance = random.Random(0)
    words = ["".join(chance.choices("etaoinshrdlu", k=chance.randint(2, 9))) for _ in range(5_000)]
    for i in range(16):
        size, lines = 0, []
        while size < MEGABYTES * 1_000_000 // 16:
            lines.append(" ".join(chance.choices(words, k=60)))
            size += len(lines[-1]) + 1
        (folder / f"{i}.txt").write_text("\n".join(lines))


def main() -> None:
    harness.refuse_if_busy()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, cache, copied = folder / "text", folder / "cache", folder / "copied"
        source.mkdir()
        write(source)
        config = CorpusConfig(sources=(Source(path=source),), validation_documents=1)

        def ours() -> None:
            shutil.rmtree(cache, ignore_errors=True)
            prepare(config, cache=cache, progress=False)

        def bare() -> None:
            shutil.rmtree(copied, ignore_errors=True)
            copied.mkdir()
            for path in source.iterdir():
                data = path.read_bytes()
                hashlib.blake2b(data).digest()
                (copied / path.name).write_bytes(data)

        runs = {
            BASE: bare,
            "ropewalk, anew": ours,
            "ropewalk, again": lambda: prepare(config, cache=cache),
        }
        work = dict.fromkeys(runs, MEGABYTES * 1e6)
        table = harness.interleave(f"preparing {MEGABYTES} MB", runs, base=BASE, rounds=7, warm=1, work=work)
    harness.report("preparation", {"tables": {f"{MEGABYTES} MB of text (per second: bytes)": table}})


if __name__ == "__main__":
    main()
