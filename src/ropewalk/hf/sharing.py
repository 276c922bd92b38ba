"""Trained increments on the hub."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from ropewalk.errors import UserError
from ropewalk.hf import adapter_file


def push_to_hub(folder: str | Path, repo: str, *, private: bool = False, token: str | None = None) -> str:
    """Uploads a folder of increments, with its card, and returns its address. UserError where it is none, or the hub refuses."""
    folder = Path(folder)
    if not adapter_file.is_adapter(folder):
        raise UserError(
            f"{folder} holds no increments to upload; name a folder that Graft.save or graft-train made."
        )
    adapter_file.read(folder)
    try:
        hub = HfApi(token=token)
        made = hub.create_repo(repo, private=private, exist_ok=True)
        hub.upload_folder(repo_id=made.repo_id, folder_path=folder, commit_message="Position increments")
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(
            f"{repo} cannot be uploaded: {reason}; check the name, the network, and `hf auth login`."
        ) from error
    return f"https://huggingface.co/{made.repo_id}"
