"""Packs what a rented GPU needs into one folder: the code, wheels of packages that it lacks, and as much text as fits.

    python scripts/pack_for_gpu.py FOLDER --corpus en.jsonl.zst --corpus zh.jsonl.zst --wheel pydantic --wheel zstandard

The code is what git tracks, without documentation, tests, notebooks and bundled weights. Each corpus file gives its first documents, in
order, compressed again; the files share the space evenly. A Hugging Face model for the second lease does not fit beside
them: `scripts/model_pieces.py` cuts it into pieces that are sent before. Wheels are fetched with pip for the other machine's Python and
processor, without their requirements: name those too.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import zstandard

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = ("docs/", "tests/", "notebooks/", ".github/", ".ci/", "uv.lock", "bench/results/")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
PIECE = 1 << 23  # bytes of text in a frame


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument(
        "--corpus",
        type=Path,
        action="append",
        default=[],
        help="a .jsonl or .jsonl.zst file; may be repeated",
    )
    parser.add_argument(
        "--wheel",
        action="append",
        default=[],
        help="a package to carry, such as pydantic==2.12; may be repeated",
    )
    parser.add_argument("--wheels", type=Path, help="a folder of wheels to carry as they are")
    parser.add_argument("--python", default="3.12", help="the other machine's Python")
    parser.add_argument(
        "--megabytes", type=float, default=64.0, help="for everything, in units of 2**20 bytes"
    )
    parser.add_argument("--level", type=int, default=15, help="zstd's level")
    words = parser.parse_args()
    if words.folder.exists():
        sys.exit(f"pack_for_gpu: {words.folder} exists; name a new folder.")
    copy_code(words.folder)
    if words.wheel or words.wheels:
        copy_wheels(words.folder / "wheels", words.wheel, words.wheels, words.python)
    limit = int(words.megabytes * 2**20)
    room = limit - size(words.folder) - (1 << 18)  # folders and names take a little
    if room <= 0:
        sys.exit(
            f"pack_for_gpu: code and wheels take {size(words.folder):,} bytes, more than {limit:,}; carry fewer wheels."
        )
    (words.folder / "corpus").mkdir()
    for number, path in enumerate(words.corpus):
        share = room // (len(words.corpus) - number)
        written, documents = copy_text(path, words.folder / "corpus" / name_of(path), share, words.level)
        room -= written
        print(f"{path.name}: {documents:,} documents, {written:,} bytes")
    print(
        f"{size(words.folder):,} bytes in {words.folder}; there: python scripts/gpu_lease.py --corpus corpus --out OUT"
    )


def copy_code(folder: Path) -> None:
    """The files that git tracks, as they are in the working tree."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if name.startswith(LEFT_OUT) or name.endswith(".safetensors") or not (ROOT / name).is_file():
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)


def copy_wheels(folder: Path, names: list[str], carried: Path | None, python: str) -> None:
    """Wheels from a folder, and others from the package index."""
    folder.mkdir(parents=True)
    for wheel in sorted(carried.glob("*.whl")) if carried else []:
        shutil.copy(wheel, folder)
    if names:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--only-binary=:all:",
            "--implementation",
            "cp",
        ]
        platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
        subprocess.run(
            [*command, "--python-version", python, *platforms, "-d", str(folder), *names], check=True
        )


def copy_text(source: Path, target: Path, limit: int, level: int) -> tuple[int, int]:
    """The first documents of a file, as zstd frames of at most `limit` bytes together; returns bytes and documents written."""
    compressor = zstandard.ZstdCompressor(level=level)
    written = documents = 0
    with target.open("wb") as file:
        for piece in pieces(source):
            frame = compressor.compress(b"".join(piece))
            while piece and written + len(frame) > limit:  # the last piece: as many of its documents as fit
                piece = piece[: len(piece) // 2]
                frame = compressor.compress(b"".join(piece))
            if not piece:
                break
            written += file.write(frame)
            documents += len(piece)
    return written, documents


def pieces(source: Path) -> Iterator[list[bytes]]:
    """The lines of a .jsonl file, compressed by zstd or not, about PIECE bytes at a time."""
    piece: list[bytes] = []
    held = 0
    with source.open("rb") as opened:
        reader = zstandard.ZstdDecompressor().stream_reader(opened, read_across_frames=True)
        for line in io.BufferedReader(reader) if source.suffix == ".zst" else opened:
            piece.append(line)
            held += len(line)
            if held >= PIECE:
                yield piece
                piece, held = [], 0
    if piece:
        yield piece


def name_of(source: Path) -> str:
    return source.name if source.suffix == ".zst" else f"{source.name}.zst"


def size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
