"""The one opener: `ropewalk.load(NAME)` opens every model there is, with its tokenizer.

NAME is a bundled model, a native model's folder, a Hugging Face folder or hub name, a GGUF file, or increments that were
trained on one of these: a folder or a hub name.
"""

from __future__ import annotations

import errno
import importlib.util
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from ropewalk.errors import UserError
from ropewalk.native.model_folder import FORMAT
from ropewalk.native.pretrained import find_model, model_names

if TYPE_CHECKING:
    from typing import Unpack

    from ropewalk.core.host import Host
    from ropewalk.hf.loading import HubOptions

Kind = Literal["native", "adapter", "peft", "huggingface"]
Backend = Literal["auto", "torch", "numpy"]

RECORDS = ("config.json", "ropewalk.json", "adapter_config.json")
"""One of these is in every folder of a model or of increments."""
INNER = ("model", "grafted/model")
"""Where a run's model is."""
SHORT_TEXT = 1024
"""Characters from which PyTorch is quicker, though it takes a second to import."""
SMALL_MODEL = 64_000_000
"""Bytes of weights up to which NumPy is quick enough."""


def load(
    name: str | Path,
    *,
    base: str | Path | None = None,
    tokenizer: Any = None,
    per_head: bool = False,
    strict: bool = True,
    backend: Backend = "auto",
    **options: Unpack[HubOptions],
) -> Host:
    """Opens a model and its tokenizer, ready for `ropewalk.trace`, `ropewalk.probe` and `ropewalk.generate`.

    A Hugging Face model without trained increments has d = 1 for every token, and one row per layer (per key/value head
    with per_head). base: the model that a folder of increments is put onto, the recorded one when None; strict=False
    accepts one with other weights. backend: native models load with PyTorch where it is installed, else with NumPy, which
    can only trace. options: see `ropewalk.hf.loading.HubOptions`. UserError for anything that cannot be opened.
    """
    if backend not in get_args(Backend):
        raise UserError(f"backend must be one of {', '.join(get_args(Backend))}, got {backend!r}.")
    kind = kind_of(name)
    if kind == "native":
        if base is not None:
            raise UserError(f"{name} is a native model, which has no base; leave out the base.")
        return _native(name, backend, options)
    if backend == "numpy":
        raise UserError(f"{name} is no native model, so NumPy cannot read it; leave out the backend.")
    _require_torch(name)
    from ropewalk.hf.hub import hub_adapter
    from ropewalk.hf.opening import open_adapter, open_huggingface

    fetched = None
    if kind == "huggingface":
        fetched = hub_adapter(name, revision=options.get("revision"), token=options.get("token"))
    if fetched is not None:
        options.pop("revision", None)  # that of the increments, not of their base
        return open_adapter(fetched, base=base, tokenizer=tokenizer, strict=strict, **options)
    if kind == "huggingface":
        if base is not None:
            raise UserError(
                f"{name} holds no increments to put onto a base; name a folder with ropewalk.json."
            )
        return open_huggingface(name, tokenizer=tokenizer, per_head=per_head, **options)
    return open_adapter(name, base=base, tokenizer=tokenizer, strict=strict, **options)


def kind_of(name: str | Path) -> Kind:
    """What a name means: a native model, a folder of increments (ours or PEFT's), or a Hugging Face model.

    UserError for what can be no name, and for files and folders without a model.
    """
    if not isinstance(name, str | Path) or not str(name).strip():
        given = repr(name) if isinstance(name, str) else type(name).__name__
        raise UserError(
            f"expected the name of a model, got {given}; the bundled ones are {', '.join(model_names())}."
        )
    if str(name) in model_names():
        return "native"
    path = Path(name)
    if path.suffix == ".pt" and path.is_file():
        raise UserError(
            f"{path} is a file and not a model folder; if it is a checkpoint of the published experiment, convert it: "
            f"ropewalk import-published {path} FOLDER"
        )
    _check_path(path)
    if _json(path / "config.json").get("format") == FORMAT:
        return "native"
    if _json(path / "ropewalk.json"):
        return "adapter"
    return "peft" if _json(path / "adapter_config.json") else "huggingface"


def _check_path(path: Path) -> None:
    """UserError for a file or folder that is there and holds no model, and for a name that no file can have."""
    try:
        os.stat(path)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UserError(
                f"'{str(path)[:200]}…' is too long for a name; name a model folder or a hub name."
            ) from None
    except ValueError:
        raise UserError(
            f"{str(path)!r} is no name that a file can have; name a model folder or a hub name."
        ) from None
    if os.path.isfile(path) and path.suffix.lower() != ".gguf":
        raise UserError(
            f"{path} is a file and not a model; name a model folder, a .gguf file, or a hub name."
        )
    if (
        not os.path.isdir(path)
        or any(os.path.exists(path / name) for name in RECORDS)
        or any(path.glob("*.gguf"))
    ):
        return
    inner = next((path / name for name in INNER if os.path.isdir(path / name)), None)
    instead = f"name {inner}" if inner else f"name a folder with {RECORDS[0]}, or a hub name"
    raise UserError(f"{path} holds no model; {instead}.")


def quickest_backend(name: str | Path, text: str) -> Backend:
    """ "numpy" for a small native model and a short text, which NumPy traces before PyTorch has been imported; else "auto"."""
    if kind_of(name) != "native" or len(text) >= SHORT_TEXT:
        return "auto"
    from ropewalk.native import model_folder, numpy_decoder

    folder = find_model(name)
    header = model_folder.read_header(folder / model_folder.WEIGHTS)
    shape = model_folder.decoder_config(model_folder.read_config(folder), folder, header)
    small = (folder / model_folder.WEIGHTS).stat().st_size <= SMALL_MODEL
    return "numpy" if small and numpy_decoder.runs(shape) else "auto"


def _native(name: str | Path, backend: Backend, options: Any) -> Host:
    if importlib.util.find_spec("torch") is None or backend == "numpy":
        from ropewalk.native.numpy_checkpoint import read_numpy_decoder

        return read_numpy_decoder(find_model(name))  # type: ignore[return-value]
    import torch

    from ropewalk.native.checkpoint import load_decoder

    decoder = load_decoder(name)
    dtype, device = options.get("dtype"), options.get("device")
    if dtype not in (None, "auto"):
        decoder.compute_dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    return decoder if device in (None, "auto") else decoder.to(device)


def _require_torch(name: str | Path) -> None:
    if importlib.util.find_spec("torch") is None:
        find_model(name)  # a name that is neither bundled nor a folder is reported first
        raise UserError(f"{name} is a Hugging Face model, which needs: pip install 'ropewalk[hf]'")


def _json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; {} where there is none."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
