"""Reading and writing files: permissions, links, devices, pipes, names."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from disk import watched
from safetensors.numpy import save_file

from ropewalk.errors import UserError
from ropewalk.system.files import read_whole, write_atomically
from ropewalk.system.folders import write_folder

posix = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o022, 0o002, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@posix
def test_new_files_have_the_permissions_of_the_umask(tmp_path: Path, umask: int) -> None:
    write_atomically(tmp_path / "a.json", b"{}")
    assert mode(tmp_path / "a.json") == 0o666 & ~umask


@posix
def test_files_that_a_library_wrote_into_a_folder_too(tmp_path: Path, umask: int) -> None:
    def fill(folder: Path) -> None:
        save_file({"a": np.zeros(3)}, folder / "model.safetensors")
        (folder / "model.safetensors").chmod(0o600)  # as safetensors does on some systems
        (folder / "inner").mkdir()
        (folder / "inner" / "b.txt").write_text("b")

    write_folder(tmp_path / "model", fill)
    assert mode(tmp_path / "model" / "model.safetensors") == 0o666 & ~umask
    assert mode(tmp_path / "model" / "inner" / "b.txt") == 0o666 & ~umask
    assert mode(tmp_path / "model") == 0o777 & ~umask
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["inner", "model.safetensors"]


@posix
def test_a_replaced_file_keeps_its_permissions_and_a_link_its_target(tmp_path: Path) -> None:
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real.name)
    write_atomically(link, b"new")
    assert link.is_symlink() and real.read_text() == "new" and mode(real) == 0o640


@pytest.mark.skipif(sys.platform == "win32", reason="no such device")
def test_a_device_is_written_to_and_not_replaced() -> None:
    write_atomically("/dev/null", b"gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "no/such/folder/a", "."])
def test_names_that_no_file_can_have_are_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot write"):
        write_atomically(f"{tmp_path}/{name}", b"x")
    assert list(tmp_path.iterdir()) == []


@posix
def test_a_named_pipe_is_refused_and_a_shells_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="named pipe"):
        read_whole(tmp_path / "pipe")
    end, begin = os.pipe()
    os.write(begin, b"text")
    os.close(begin)
    assert read_whole(f"/dev/fd/{end}") == b"text"
    os.close(end)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_was_written_outlives_a_power_cut_right_after_the_call(tmp_path: Path, kind: str) -> None:
    """The new name too: its folder is flushed."""

    def write(text: str) -> None:
        if kind == "file":
            write_atomically(tmp_path / "disk" / "x", text.encode())
        else:
            write_folder(tmp_path / "disk" / "x", lambda folder: fill(folder, text) and None)

    def fill(folder: Path, text: str) -> int:
        (folder / "inner").mkdir()
        return (folder / "inner" / "a").write_text(text)

    (tmp_path / "disk").mkdir()
    write("old")
    with watched(tmp_path / "disk") as disk:
        write("new")
        disk.states.clear()
        disk.cut("after the call")
        found = {dict(state).get("x" if kind == "file" else "x/inner/a") for state in disk.states}
    assert found == {b"new"}


def test_a_limit_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 2_000_001)
    with pytest.raises(UserError, match="longer than 2 MB"):
        read_whole(tmp_path / "a", limit=2_000_000)


@posix
@pytest.mark.parametrize(
    "name",
    [
        "a.txt",
        "a.jsonl",
        "a.csv",
        "a.ipynb",
        "a.parquet",
        "a.txt.gz",
        "model.safetensors",
        "t.json",
        "r.toml",
    ],
)
def test_no_reader_waits_for_a_named_pipe(tmp_path: Path, name: str) -> None:
    from ropewalk.analyses.result import Result
    from ropewalk.corpus import CorpusConfig, prepare
    from ropewalk.corpus.files import read_files
    from ropewalk.native.model_folder import read_header
    from ropewalk.system.files import sha256
    from ropewalk.system.toml import read_toml
    from ropewalk.traces.trace import Trace

    pipe = tmp_path / name
    os.mkfifo(pipe)
    source = {"sources": [{"path": pipe}], "validation_documents": 1}
    uses = {
        "model.safetensors": [lambda: read_header(pipe), lambda: sha256(pipe)],
        "t.json": [lambda: Trace.load(pipe), lambda: Result.load(pipe)],
        "r.toml": [lambda: read_toml(pipe)],
    }.get(
        name,
        [
            lambda: read_files([pipe]),
            lambda: prepare(CorpusConfig.model_validate(source), tmp_path / "cache", progress=False),
        ],
    )
    for use in uses:
        with pytest.raises(UserError, match="named pipe"):
            use()


def test_a_folder_that_another_process_writes_first_is_replaced(tmp_path: Path) -> None:
    """Two runs that prepare the same cached tokens at once both succeed."""
    folder = tmp_path / "tokens"

    def fill(temporary: Path) -> None:
        if not folder.exists():  # the other process, between the look at the folder and its name
            write_folder(folder, lambda other: (other / "a").write_text("theirs") and None)
        (temporary / "a").write_text("ours")

    missing = iter([False])  # as it looked before the other process was done
    exists = Path.exists

    def late(path: Path, **more: bool) -> bool:
        return (
            next(missing, exists(path, **more))
            if path == folder and (folder / "a").is_file()
            else exists(path, **more)
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "exists", late)
        write_folder(folder, fill)
    assert (folder / "a").read_text() == "ours"
    assert [path.name for path in tmp_path.iterdir()] == ["tokens"]
