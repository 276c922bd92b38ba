"""Names on the Hugging Face hub: whether the hub or its local cache has them, and adapters that they stand for."""

from __future__ import annotations

import os
from pathlib import Path

from ropewalk.errors import UserError

REACH_SECONDS = 5.0
"""How long to wait for the hub before saying that it cannot be reached."""
CONFIG = "config.json"
ADAPTERS = ("ropewalk.json", "adapter_config.json")
"""The record in a folder of increments, and in one of PEFT."""


def require_reachable(name: str, file: str = CONFIG) -> bool:
    """Whether a hub name must come from the local cache. UserError, at once, where neither cache nor hub has it."""
    if not _is_offline(name, file):
        return False
    if _is_cached(name, file):
        return True
    raise UserError(
        f"{name} is no local folder, is not in the Hugging Face cache, and the hub cannot be reached; name a folder, or "
        "try again with a network."
    )


def hub_adapter(name: str | Path, *, revision: str | None = None, token: str | None = None) -> Path | None:
    """The local copy of a hub name that holds increments or a PEFT adapter; None for everything else.

    UserError where the hub breaks off.
    """
    repository = str(name)
    if os.path.exists(repository) or repository.count("/") != 1 or repository.startswith((".", "/", "~")):
        return None
    if _is_cached(repository, CONFIG, revision):
        return None
    kept = any(_is_cached(repository, file, revision) for file in ADAPTERS)
    offline = _is_offline(repository, ADAPTERS[0])
    if not kept and (offline or not _has_adapter(repository, revision, token)):
        return None
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, revision=revision, token=token, local_files_only=offline))
    except Exception as error:  # the client raises whatever its parts raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(
            f"{repository} cannot be fetched: {reason}; check the name and the network."
        ) from error


def _has_adapter(repository: str, revision: str | None, token: str | None) -> bool:
    from huggingface_hub import HfApi

    hub = HfApi(token=token)
    try:
        return any(hub.file_exists(repository, file, revision=revision) for file in ADAPTERS)
    except Exception:
        return False  # opening it as a model says why


def _is_cached(repository: str, file: str, revision: str | None = None) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(repository, file, revision=revision), str)


def _is_offline(repository: str, file: str) -> bool:
    from huggingface_hub import constants

    offline = constants.HF_HUB_OFFLINE or os.environ.get("TRANSFORMERS_OFFLINE", "0") == "1"
    return offline or not _reachable(f"{constants.ENDPOINT}/{repository}/resolve/main/{file}")


def _reachable(url: str) -> bool:
    """Whether a server answers, whatever it says."""
    from huggingface_hub.utils import get_session

    try:
        get_session().head(url, timeout=REACH_SECONDS, follow_redirects=False)
    except Exception:
        return False
    return True
