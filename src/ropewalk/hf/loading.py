"""Opens Hugging Face models and tokenizers: a folder, a hub name, or a GGUF file.

Weights come from safetensors or GGUF, never from pickles, and no remote code runs unless asked for. A hub name that
is not in the local cache is refused at once where the hub cannot be reached.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PretrainedConfig

from ropewalk.errors import UserError
from ropewalk.hf.hub import CONFIG, require_reachable

MAX_LAYERS = 4096
"""Layers of a model; one that claims more is damaged, and would take all memory before its weights are looked at."""


class HubOptions(TypedDict, total=False):
    """How a Hugging Face model is opened.

    dtype: "auto" for what it was saved in, or a dtype. device: such as "cuda" or "auto". attention: transformers'
    attn_implementation. quantize: 4 or 8 bits, through bitsandbytes. revision, token: of the hub.
    """

    dtype: torch.dtype | str
    device: str | None
    attention: str | None
    quantize: Literal[4, 8] | None
    revision: str | None
    token: str | None
    trust_remote_code: bool


@dataclass(frozen=True)
class Source:
    """Where a model is: what transformers calls its name, and the GGUF file inside, if any."""

    name: str
    gguf: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        return {} if self.gguf is None else {"gguf_file": self.gguf}


def find_source(name: str | Path) -> Source:
    """A folder, a .gguf file, a folder with one .gguf file and no config.json, a hub name, or OWNER/NAME/FILE.gguf."""
    path = Path(name)
    if path.is_dir() and not (path / "config.json").is_file():
        files = sorted(path.glob("*.gguf"))
        if len(files) > 1:
            raise UserError(f"{path} holds {len(files)} GGUF files; name one of them, such as {files[0]}.")
        return _gguf(Source(str(path), files[0].name)) if files else Source(str(path))
    if path.suffix.lower() == ".gguf":
        if path.is_file():
            return _gguf(Source(str(path.parent), path.name))
        if path.is_absolute() or len(path.parts) < 3:
            raise UserError(
                f"{path} does not exist; name a .gguf file, or one on the hub as OWNER/NAME/FILE.gguf."
            )
        return _gguf(Source("/".join(path.parts[:2]), "/".join(path.parts[2:])))
    return Source(str(name))


def open_model(name: str | Path, **options: Any) -> Any:
    """The causal language model of a folder, hub name or GGUF file, in evaluation mode; options as in `HubOptions`."""
    source = find_source(name)
    attention, device = options.pop("attention", None), options.pop("device", None)
    more: dict[str, Any] = (
        source.options | _hub_arguments(source, options) | {"dtype": options.get("dtype") or "auto"}
    )
    if attention is not None:
        more["attn_implementation"] = attention
    if source.gguf is None:
        more["use_safetensors"] = True
    if options.get("quantize") is not None:
        more["quantization_config"] = _quantization(options["quantize"])
    if device is not None:
        more["device_map"] = device
    config = open_config(name, **options)
    if source.gguf is None:
        more["config"] = config
    try:
        _check_size(name, config)
        with _no_bars():
            opened: Any = AutoModelForCausalLM.from_pretrained(source.name, output_loading_info=True, **more)
    except UserError:
        raise
    except Exception as error:  # transformers raises whatever its parts raise
        raise _cannot_open(name, "model", error) from error
    model, found = opened
    if missing := sorted(found["missing_keys"]):
        raise UserError(
            f"the weights of {name} lack {len(missing)} tensors that its config.json asks for, such as {missing[0]}; they "
            "would be random, so copy the model again."
        )
    return model.eval()


def open_config(name: str | Path, **options: Any) -> Any:
    """The configuration of a folder, hub name or GGUF file: shapes without weights."""
    source = find_source(name)
    arguments = _hub_arguments(source, options)
    try:
        plain, _ = PretrainedConfig.get_config_dict(source.name, **source.options, **arguments)
        _check_layers(name, plain)
        return AutoConfig.from_pretrained(source.name, **source.options, **arguments)
    except UserError:
        raise
    except Exception as error:
        raise _cannot_open(name, "model", error) from error


def _check_size(name: str | Path, config: Any) -> None:
    """UserError where a folder's weights are too few bytes for the model that its configuration describes."""
    stored = sum(path.stat().st_size for path in Path(name).glob("*.safetensors"))
    if not stored or getattr(config, "auto_map", None):
        return
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in AutoModelForCausalLM.from_config(config).parameters())
    if count > stored * (1 if getattr(config, "quantization_config", None) is None else 8):
        raise UserError(
            f"{name} describes {count:,} parameters and its weights are {stored:,} bytes; its config.json is damaged, so copy "
            "the model again."
        )


def _check_layers(name: str | Path, config: Mapping[str, Any]) -> None:
    """UserError for a number of layers that no model has: classes of configurations make lists of that length."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            _check_layers(name, value)
            continue
        valid = value is None or (type(value) is int and 1 <= value <= MAX_LAYERS)
        if key in ("num_hidden_layers", "num_layers", "n_layer", "n_layers") and not valid:
            raise UserError(
                f"{name} asks for {key} = {value!r}, expected 1 to {MAX_LAYERS}; its config.json is damaged, so copy the "
                "model again."
            )


def open_tokenizer(name: str | Path, **options: Any) -> Any:
    """The fast tokenizer of a folder, hub name or GGUF file; UserError where there is none."""
    source = find_source(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source.name, **source.options, **_hub_arguments(source, options)
        )
    except UserError:
        raise
    except Exception as error:
        raise _cannot_open(name, "tokenizer", error) from error
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(
            f"{name} has no fast tokenizer, so it is not known where its tokens lie; convert it first."
        )
    tokenizer.model_max_length = int(1e18)  # windows are cut later, so a long text is no mistake
    return tokenizer


@contextmanager
def _no_bars() -> Iterator[None]:
    """Without the bar that transformers draws while it copies weights, which takes a second."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _hub_arguments(source: Source, options: dict[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {"trust_remote_code": bool(options.get("trust_remote_code", False))}
    if os.path.isdir(source.name):
        return arguments
    if source.name.count("/") > 1 or source.name.startswith((".", "/", "~")):
        raise UserError(
            f"'{source.name[:200]}' does not exist; name a model folder, a .gguf file, or a hub name."
        )
    arguments["local_files_only"] = require_reachable(source.name, source.gguf or CONFIG)
    return arguments | {key: options[key] for key in ("revision", "token") if options.get(key) is not None}


def _gguf(source: Source) -> Source:
    if importlib.util.find_spec("gguf") is None:
        raise UserError(
            "GGUF files need the gguf package, which is not installed; run: pip install 'ropewalk[gguf]'"
        )
    return source


def _quantization(bits: int) -> Any:
    from transformers import BitsAndBytesConfig

    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            "quantizing needs bitsandbytes, which is not installed; run: pip install bitsandbytes"
        )
    if bits not in (4, 8):
        raise UserError(f"quantize must be 4 or 8 bits, got {bits}.")
    return BitsAndBytesConfig(load_in_4bit=bits == 4, load_in_8bit=bits == 8)


def _cannot_open(name: str | Path, what: str, error: Exception) -> UserError:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return UserError(
        f"cannot open the {what} {name}: {first}; name a local folder, a .gguf file, or a hub model that this machine can "
        "reach."
    )
