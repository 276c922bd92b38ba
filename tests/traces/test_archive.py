"""An archive gives back the traces it was made of, goes on after a stop, and refuses what is not its own."""

import contextlib
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import config, moved

from ropewalk.errors import UserError
from ropewalk.measure.archive import require_disk_space, trace_shards
from ropewalk.measure.capture import trace
from ropewalk.native.decoder import Decoder
from ropewalk.traces import archive

TEXTS = ["A naïve cat.", "猫が座る。", "", *(f"line {i}\n" * (1 + i % 9) for i in range(30))]
SIZE = 200


@pytest.fixture(scope="module")
def model() -> Decoder:
    return moved(Decoder(config(per_head=True), seed=0), scale=0.2)


def made(
    model: Decoder, folder: Path, texts: list[str] = TEXTS, stop: int | None = None, **how: Any
) -> list[bool]:
    """Writes an archive, or its first `stop` shards; which of them had been there before."""
    seen = []
    for _, done in trace_shards(model, archive.shards(texts, SIZE), folder, **how):
        seen.append(done)
        if len(seen) == stop:
            break
    return seen


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@given(st.lists(st.text(max_size=60), max_size=20), st.integers(1, 90), st.integers(1, 40))
def test_shards_hold_every_character_once_and_end_where_they_are_full(
    texts: list[str], size: int, longest: int
) -> None:
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    parts = list(archive.shards(texts, size, longest))
    flat = [text for part in parts for text in part.texts]
    assert "".join(flat) == "".join(texts) and all(0 < len(text) <= longest for text in flat)
    assert [part.number for part in parts] == list(range(len(parts)))
    assert all(part.bytes >= size for part in parts[:-1])
    assert all(part.bytes - len(part.texts[-1].encode()) < size for part in parts)
    assert [part.first for part in parts] == [sum(len(p.texts) for p in parts[:i]) for i in range(len(parts))]


def test_long_texts_are_cut_at_the_end_of_a_line() -> None:
    (part,) = archive.shards(["ab\ncd\nefghijk"], longest=6)
    assert part.texts == ("ab\ncd\n", "efghij", "k")


def test_what_is_read_back_is_what_was_traced(model: Decoder, tmp_path: Path) -> None:
    assert made(model, tmp_path) == [False] * len(content(tmp_path)) and len(content(tmp_path)) > 3
    back = list(archive.read(str(tmp_path)))
    assert [one.text for one in back] == [text for text in TEXTS if text]
    for one in back:
        alone = trace(model, one.text)
        assert (one.rows, one.context, one.provenance) == (alone.rows, alone.context, alone.provenance)
        assert np.array_equal(one.tokens, alone.tokens) and np.array_equal(one.spans, alone.spans)
        for name in ("values", "surprisal", "entropy", "entropy_after"):
            assert np.allclose(getattr(one, name), getattr(alone, name), atol=2e-5, equal_nan=True), name


def test_a_stopped_run_goes_on_and_ends_in_the_same_files(model: Decoder, tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    count = len(made(model, whole))
    made(model, stopped, stop=2)
    (stopped / ".000002.parquet.0123.tmp").write_bytes(b"half a shard")
    assert made(model, stopped) == [True, True] + [False] * (count - 2)
    (stopped / ".000002.parquet.0123.tmp").unlink()
    assert content(stopped) == content(whole)


KILLED = """
import os, pathlib, signal, sys
sys.path[:0] = sys.argv[2:]
import test_archive as t
real = os.replace
def replace(a, b):
    if str(b).endswith("000002.parquet"):
        os.kill(os.getpid(), signal.SIGKILL)
    real(a, b)
os.replace = replace
t.made(t.moved(t.Decoder(t.config(per_head=True), seed=0), scale=0.2), pathlib.Path(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_a_run_killed_while_it_writes_goes_on(model: Decoder, tmp_path: Path) -> None:
    whole, killed, here = tmp_path / "whole", tmp_path / "killed", Path(__file__).parent
    count = len(made(model, whole))
    ran = subprocess.run([sys.executable, "-c", KILLED, killed, here, here.parent / "support"])
    assert ran.returncode == -signal.SIGKILL
    assert sorted(path.name for path in killed.glob("0*")) == ["000000.parquet", "000001.parquet"]
    assert made(model, killed) == [True, True] + [False] * (count - 2)
    assert {path.name: path.read_bytes() for path in killed.glob("0*")} == content(whole)


def test_a_shard_that_cannot_be_written_leaves_nothing(
    model: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        made(model, tmp_path)
    assert content(tmp_path) == {}


def test_shards_of_another_model_text_or_setting_are_refused(model: Decoder, tmp_path: Path) -> None:
    made(model, tmp_path)
    before = content(tmp_path)
    with pytest.raises(UserError, match=r"another model, text or setting \(texts differ\)"):
        made(model, tmp_path, ["B", *TEXTS[1:]])
    with pytest.raises(UserError, match=r"\(context differ\)"):
        made(model, tmp_path, start="none")
    other = moved(Decoder(config(per_head=True), seed=1))
    other.provenance = {"hash": "another"}
    with pytest.raises(UserError, match=r"\(provenance differ\)"):
        made(other, tmp_path)
    rough = moved(Decoder(config(per_head=True), seed=0), scale=0.2)
    rough.compute_dtype = torch.bfloat16
    with pytest.raises(UserError, match=r"\(provenance differ\)"):
        made(rough, tmp_path)
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: b"", lambda data: b"PAR1" + data[4:99]]
)
def test_a_damaged_shard_is_content(model: Decoder, tmp_path: Path, damage: Any) -> None:
    made(model, tmp_path, TEXTS[:3])
    path = tmp_path / "000000.parquet"
    path.write_bytes(damage(path.read_bytes()))
    for use in (lambda: made(model, tmp_path, TEXTS[:3]), lambda: list(archive.read(str(tmp_path)))):
        with pytest.raises(UserError, match="is damaged"):
            use()


def test_an_empty_folder_is_no_archive(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no traces"):
        list(archive.read(str(tmp_path)))


def test_a_disk_without_room_is_content_before_the_work(tmp_path: Path) -> None:
    require_disk_space(tmp_path / "not" / "yet", 1000, 6)
    with pytest.raises(UserError, match=r"need about .* MB free; free some space"):
        require_disk_space(tmp_path / "not" / "yet", 10**15, 6)


def test_any_flipped_bit_of_a_shard_is_detected(model: Decoder, tmp_path: Path) -> None:
    made(model, tmp_path, TEXTS[:3])
    path = tmp_path / "000000.parquet"
    data = path.read_bytes()
    before = [one.hash for one in archive.read(tmp_path)]
    missed = 0
    for place in range(4, len(data) - 8, max(1, len(data) // 120)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        path.write_bytes(bytes(changed))
        with contextlib.suppress(UserError):
            missed += [one.hash for one in archive.read(tmp_path)] != before
    assert missed == 0
