"""Opening a Hugging Face model or tokenizer by folder or hub name, with one sentence for whatever goes
wrong.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from ropewalk.errors import UserError

CAREFUL: dict[str, Any] = {
    "use_safetensors": True,
    "trust_remote_code": False,
}  # nothing unpickled, nothing run


def open_model(name: str, *, dtype: torch.dtype | str = "auto", attention: str | None = None) -> Any:
    """The causal language model of a folder or hub name, in evaluation mode, from safetensors only.

    dtype "auto" is what it was saved in; attention is transformers' attn_implementation.
    """
    more: dict[str, Any] = {} if attention is None else {"attn_implementation": attention}
    more |= CAREFUL
    try:
        return AutoModelForCausalLM.from_pretrained(name, dtype=dtype, **more).eval()
    except UserError:
        raise
    except Exception as error:  # transformers lets through whatever its parts raise
        raise _told(name, "model", error) from error


def open_config(name: str) -> Any:
    """The configuration of a folder or hub name: shapes without weights."""
    try:
        return AutoConfig.from_pretrained(name, trust_remote_code=False)
    except Exception as error:
        raise _told(name, "model", error) from error


def open_tokenizer(name: str) -> Any:
    """The fast tokenizer of a folder or hub name; UserError where there is none."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except Exception as error:
        raise _told(name, "tokenizer", error) from error
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(
            f"{name} has no fast tokenizer, which alone says where its tokens lie; convert it first."
        )
    tokenizer.model_max_length = int(1e18)  # windows are cut afterwards, so a long text is no mistake
    return tokenizer


def _told(name: str, what: str, error: Exception) -> UserError:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return UserError(
        f"cannot open the {what} {name}: {first}; name a local folder, or a hub model that this machine can reach."
    )
