"""A site's folder: permissions of the umask, whole or not there, an earlier site kept until the new one is complete."""

from __future__ import annotations

import importlib
import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ropewalk.errors import UserError

sites: Any = importlib.import_module("ropewalk.export.site")  # the package has a function of this name


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a site needs of a model, and quick stand-ins for the runtime, the graph and the page."""
    monkeypatch.setattr(sites.runtime, "copy_into", lambda folder: (folder / "ort.mjs").write_text("r"))
    monkeypatch.setattr(
        sites.onnx_graph, "onnx", lambda model, path: path.write_bytes(b"g") and {"logits": 0.5}
    )
    monkeypatch.setattr(sites, "index", lambda model, name, size: f"<p>{name} {size}")
    return SimpleNamespace(
        config=SimpleNamespace(vocab_size=257), provenance={"name": "m"}, own_tokenizer=None
    )


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_files_and_folders_have_the_permissions_of_the_umask(tmp_path: Path, model: Any, umask: int) -> None:
    before = os.umask(umask)
    try:
        assert sites.site(str(tmp_path / "site"), model) == {"logits": 0.5}
    finally:
        os.umask(before)
    made = {
        path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in [tmp_path / "site", *(tmp_path / "site").rglob("*")]
    }
    folder, file = 0o777 & ~umask, 0o666 & ~umask
    assert made == {
        "site": folder, "site/runtime": folder, "site/runtime/ort.mjs": file, "site/model.onnx": file,
        "site/index.html": file,
    }  # fmt: skip


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), UserError("no network")])
def test_an_earlier_site_stays_until_the_new_one_is_complete(
    tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    sites.site(tmp_path / "site", model)

    def fail(folder: Path) -> None:
        raise error

    monkeypatch.setattr(sites.runtime, "copy_into", fail)
    with pytest.raises(UserError, match=r"No space left|no network"):
        sites.site(tmp_path / "site", model, name="other")
    assert (tmp_path / "site" / "index.html").read_text() == "<p>m 1"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    with pytest.raises(UserError, match=r"No space left|no network"):
        sites.site(tmp_path / "new", model)
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, model: Any) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        sites.site(tmp_path, model)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
