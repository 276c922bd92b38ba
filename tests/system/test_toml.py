"""The one TOML reader: file, line and key in every error, exact types, a bounded size."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from ropewalk.errors import UserError
from ropewalk.system.toml import MAX_BYTES, line_of, read_toml


class Train(BaseModel):
    model_config = ConfigDict(extra="forbid")

    steps: int = 1
    lr: float = 0.1
    compile: bool = False
    sizes: tuple[int, ...] = ()
    table: Path | None = None


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    train: Train = Train()


def read(path: Path, *overrides: str) -> Train:
    return read_toml(path, "recipe", list(overrides)).validate(Settings, "correct it").train


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "r.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_byte_order_mark_is_no_matter(tmp_path: Path) -> None:
    assert read(written(tmp_path, b"\xef\xbb\xbf[train]\nsteps = 3\n")).steps == 3


def test_integers_are_numbers_and_lists_are_tuples(tmp_path: Path) -> None:
    content = read(written(tmp_path, '[train]\nlr = 1\nsizes = [1, 2]\ntable = "a.bin"\n'))
    assert (content.lr, content.sizes, content.table) == (1.0, (1, 2), Path("a.bin"))


@pytest.mark.parametrize(
    ("line", "key"),
    [("steps = true", "steps"), ('steps = "3"', "steps"), ("lr = false", "lr"), ("compile = 1", "compile"),
     ("sizes = [true]", "sizes"), ("table = 3", "table"), ("steps = 2.5", "steps")],
)  # fmt: skip
def test_types_are_exact_and_the_line_is_named(tmp_path: Path, line: str, key: str) -> None:
    path = written(tmp_path, f"# a comment\n[train]\n{line}\n")
    with pytest.raises(UserError) as caught:
        read(path)
    assert f"{path}, line 3: train.{key}" in str(caught.value)


def test_an_override_is_named_where_it_is_wrong(tmp_path: Path) -> None:
    path = written(tmp_path, "[train]\nsteps = 3\n")
    with pytest.raises(UserError, match=r"with --set train\.steps=true: train\.steps"):
        read(path, "train.steps=true")


def test_a_long_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="longer than 1 MB"):
        read(written(tmp_path, b"#" * (MAX_BYTES + 1)))


def test_a_named_pipe_is_refused(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(UserError, match="named pipe"):
        read(tmp_path / "pipe.toml")


@pytest.mark.parametrize(
    ("key", "line"),
    [("a.b", 2), ("a.c.d", 4), ("a.c", 3), ("a.e.f", 5), ("a.missing", 1), ("x", None), ("g.0.h", 7)],
)
def test_lines_of_keys(key: str, line: int | None) -> None:
    text = "[a]\nb = 1\n[a.c]\nd = 2\n[a.e]\n[[g]]\n[g.0]\n"
    assert line_of(text.splitlines(), key) == line
