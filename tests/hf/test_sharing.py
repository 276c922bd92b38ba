"""Model cards, and what is uploaded to the hub."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from families import host

from ropewalk import UserError
from ropewalk.hf import graft, push_to_hub, sharing
from ropewalk.hf.adapter_file import read
from ropewalk.hf.model_card import model_card


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return graft(host("llama"), per="shared").save(tmp_path_factory.mktemp("sharing") / "increments")


def test_a_saved_folder_has_a_card(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: ropewalk\n") and "base_model:" not in card
    assert "| rows | one for all layers |" in card and "| trained together with | a frozen base |" in card
    record = read(folder)
    record["base"]["source"] = "owner/base"
    assert "base_model: owner/base\nbase_model_relation: adapter\n---" in model_card(record)


def test_a_folder_is_uploaded_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    class Hub:
        def __init__(self, token: str | None) -> None:
            calls.append(token)

        def create_repo(self, repo: str, **more: Any) -> Any:
            return SimpleNamespace(repo_id=repo)

        def upload_folder(self, **given: Any) -> None:
            calls.append(sorted(path.name for path in given["folder_path"].iterdir()))

    monkeypatch.setattr(sharing, "HfApi", Hub)
    assert push_to_hub(folder, "me/mine", token="t") == "https://huggingface.co/me/mine"
    assert calls == ["t", ["README.md", "increments.safetensors", "ropewalk.json"]]


def test_mistakes_are_one_sentence(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="holds no increments"):
        push_to_hub(tmp_path, "me/mine")

    def refuse(**_: Any) -> Any:
        raise OSError("no network\nmore")

    monkeypatch.setattr(sharing, "HfApi", refuse)
    with pytest.raises(UserError, match="cannot be uploaded: no network; check"):
        push_to_hub(folder, "me/mine")
