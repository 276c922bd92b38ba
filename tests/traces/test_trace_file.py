import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import byte_trace

from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.traces import file
from ropewalk.traces.trace import Trace

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def small() -> Trace:
    signals = {"surprisal": np.array([np.nan, 0.1, 2, 3]), "entropy": np.ones(4)}
    context, found_content = {"window": 512}, {"model": "m", "time": "2026-11-23T01:02:03Z"}
    numbers = [[1, 2.5, 0.1, 3], [1, 1, 1, 1e-7]]
    rows = (Row(0), Row(1, 2))
    return byte_trace("a你", numbers, rows=rows, context=context, provenance=found_content, **signals)


def same(one: Trace, other: Trace) -> bool:
    names = ("tokens", "spans", "values", "surprisal", "entropy", "entropy_after")
    arrays = all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in names)
    found_content = all(
        getattr(one, name) == getattr(other, name) for name in ("text", "rows", "context", "provenance")
    )
    return arrays and found_content and one.hash == other.hash


@pytest.mark.parametrize("name", ["t.json", "t.json.gz"])
def test_a_trace_comes_back_as_it_was(tmp_path, name: str) -> None:
    trace = small()
    trace.save(tmp_path / name)
    assert same(Trace.load(tmp_path / name), trace)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    before = (tmp_path / name).read_bytes()
    Trace.load(tmp_path / name).save(tmp_path / name)
    assert (tmp_path / name).read_bytes() == before


@given(st.lists(FLOATS, min_size=1, max_size=20), st.sampled_from(["increment", "position", "forget"]))
def test_every_float32_comes_back_exactly(row: list[float], kind: str) -> None:
    trace = byte_trace("x" * len(row), [row], kind=kind, surprisal=np.array(row))
    assert same(Trace.loads(file.dumps(trace)), trace)


@given(st.text(min_size=1), st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
def test_every_text_comes_back_exactly(text: str, found_content: dict) -> None:
    trace = byte_trace(text, provenance=found_content)
    assert same(Trace.loads(file.dumps(trace)), trace)


def test_the_layout_is_what_the_documentation_says() -> None:
    content = json.loads(file.dumps(small()))
    assert list(content) == [
        "schema", "kind", "unit", "gap", "text", "tokens", "spans", "rows", "surprisal", "entropy",
        "entropy_after", "context", "provenance", "hash", "checksum",
    ]  # fmt: skip
    assert content["rows"][1] == {"layer": 1, "head": 2, "increments": [1, 1, 1, 1e-7]}
    assert content["surprisal"] == [None, 0.1, 2, 3]
    forget = json.loads(file.dumps(byte_trace("ab", kind="forget")))
    assert forget["rows"] == [{"layer": 0, "head": None, "values": [1, 1]}]


def test_every_truncation_is_refused() -> None:
    data = file.dumps(small())
    for size in range(len(data)):
        with pytest.raises(UserError, match="cannot read this file as a trace"):
            Trace.loads(data[:size])


@settings(max_examples=400)
@given(st.data())
def test_every_changed_byte_is_refused(data) -> None:
    changed = bytearray(file.dumps(small()))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(UserError):
        Trace.loads(bytes(changed))


def test_a_packed_file_is_refused_when_cut_and_never_read_wrongly(tmp_path) -> None:
    path = tmp_path / "t.json.gz"
    trace = small()
    trace.save(path)
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(UserError):
            Trace.load(path)
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            assert same(Trace.load(path), trace)  # a harmless byte of the gzip header
        except UserError:
            assert place < len(data)
        else:
            assert place < 10


def sealed(content: dict) -> bytes:
    """A file whose checksum is right whatever its content is."""
    body = json.dumps(content).encode()[:-1]
    return body + f'\n,"checksum":"{hashlib.sha256(body).hexdigest()}"}}\n'.encode()


CHANGES = {
    "newer schema": ({"schema": 3}, "expected a trace of schema 2 in .*, got 3"),
    "true schema": ({"schema": True}, "schema 2"),
    "unknown key": ({"mood": 1}, "missing or unknown keys mood"),
    "other kind": ({"kind": "angle"}, "KeyError"),
    "no kind": ({"kind": "angle", "rows": [{"layer": 0, "head": None, "values": [1] * 4}]}, "got 'angle'"),
    "kind of another layout": ({"kind": "forget"}, "KeyError"),
    "null text": ({"text": None}, "text to be a string"),
    "other text": ({"text": "b你"}, "does not match its hash"),
    "token words": ({"tokens": ["a", "b", "c", "d"]}, "tokens"),
    "true tokens": ({"tokens": [True, True, False, True]}, "tokens"),
    "huge token": ({"tokens": [10**40, 0, 0, 0]}, "tokens"),
    "one token": ({"tokens": [1]}, "spans of shape"),
    "ragged spans": ({"spans": [[0, 1], [1]]}, "spans"),
    "no rows": ({"rows": []}, "cannot read"),
    "row words": ({"rows": "L0"}, "TypeError"),
    "row without numbers": ({"rows": [{"layer": 0, "head": None}]}, "KeyError"),
    "true number": ({"rows": [{"layer": 0, "head": None, "increments": [True] * 4}]}, "numbers or null"),
    "null number": ({"rows": [{"layer": 0, "head": None, "increments": [None] * 4}]}, "finite values"),
    "huge number": ({"rows": [{"layer": 0, "head": None, "increments": [10**400] * 4}]}, "Overflow"),
    "layer word": ({"rows": [{"layer": "a", "head": None, "increments": [1] * 4}]}, "different rows"),
    "ragged rows": (
        {"rows": [{"layer": n, "head": None, "increments": [1] * (4 - n)} for n in range(2)]},
        "ValueError",
    ),
    "entropy words": ({"entropy": "abcd"}, "numbers or null"),
    "NaN": ({"surprisal": [float("nan"), 0.1, 2, 3]}, "NaN where a number or null belongs"),
    "list of provenance": ({"provenance": [1]}, "provenance to be a dictionary"),
    "other provenance": ({"provenance": {"model": "n"}}, "does not match its hash"),
    "other hash": ({"hash": "0" * 64}, "does not match its hash"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_rightly_sealed_but_wrong_content_is_refused(name: str) -> None:
    change, message = CHANGES[name]
    content = json.loads(file.dumps(small()))
    del content["checksum"]
    assert same(Trace.loads(sealed(content)), small())
    with pytest.raises(UserError, match=message):
        Trace.loads(sealed(content | change))


def test_files_that_are_no_trace_are_refused(tmp_path) -> None:
    with pytest.raises(UserError, match=r"cannot read the trace .*none\.json: No such file"):
        Trace.load(tmp_path / "none.json")
    with pytest.raises(UserError, match=r"ending in \.json or \.json\.gz, got t\.csv"):
        small().save(tmp_path / "t.csv")
    (tmp_path / "t.json").write_bytes(b"")
    with pytest.raises(UserError, match="its end is missing, or it is no trace"):
        Trace.load(tmp_path / "t.json")
    (tmp_path / "t.json.gz").write_bytes(gzip.compress(b"[" * 100_000))
    with pytest.raises(UserError, match="it is no trace"):
        Trace.load(tmp_path / "t.json.gz")
    body = b"[" * 100_000
    deep = body + f'\n,"checksum":"{hashlib.sha256(body).hexdigest()}"}}\n'.encode()
    with pytest.raises(UserError, match="cannot read"):
        Trace.loads(deep)


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch) -> None:
    path = tmp_path / "t.json"
    small().save(path)
    before = path.read_bytes()

    def full(*_) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(UserError, match=r"cannot write .*t\.json: No space left"):
        byte_trace("other").save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(UserError, match=r"cannot write .*No such file"):
        small().save(Path(tmp_path / "missing" / "t.json"))
