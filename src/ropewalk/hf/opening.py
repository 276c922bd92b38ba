"""Hugging Face models as hosts with their tokenizers, and folders of increments on their bases."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ropewalk.errors import UserError
from ropewalk.hf import adapter, adapter_file
from ropewalk.hf.grafted import Grafted
from ropewalk.hf.grafting import Graft, graft
from ropewalk.hf.llama_export import byte_tokenizer
from ropewalk.hf.loading import find_source, open_config, open_model, open_tokenizer
from ropewalk.system.files import read_json
from ropewalk.tokens.host_text import as_tokenizer
from ropewalk.tokens.huggingface import HuggingFaceTokenizer
from ropewalk.tokens.tokenizer import ByteTokenizer, Tokenizer
from ropewalk.tokens.utf8_bytes import VOCAB_SIZE

LORA, FULL = "lora", "base"
"""Folders inside a trained graft's: what else has learned."""


def open_huggingface(
    name: str | Path, *, tokenizer: Any = None, per_head: bool = False, **options: Any
) -> Graft:
    """An untouched model as a host: d = 1 everywhere, one row per layer or per key/value head."""
    own = tokenizer_of(name, **options) if tokenizer is None else as_tokenizer(tokenizer)
    model = open_model(name, **options)
    return graft(model, parametrization="integer", per="layer", per_head=per_head, tokenizer=own)


def tokenizer_of(name: str | Path, **options: Any) -> Tokenizer:
    """How a model reads text: by its tokenizer, or as bytes where a byte model was exported."""
    folder = Path(name)
    if folder.is_dir() and find_source(name).gguf is None and not any(folder.glob("*token*")):
        if int(open_config(name).get_text_config().vocab_size) == VOCAB_SIZE:
            return ByteTokenizer()
        raise UserError(f"{name} has no tokenizer files; save the tokenizer there, or pass tokenizer=.")
    tokenizer = open_tokenizer(name, **options)
    if tokenizer.get_vocab() == _byte_vocabulary():
        return ByteTokenizer()
    return HuggingFaceTokenizer(tokenizer, int(open_config(name, **options).get_text_config().vocab_size))


def open_adapter(
    folder: str | Path,
    *,
    base: str | Path | None = None,
    tokenizer: Any = None,
    strict: bool = True,
    **options: Any,
) -> Grafted:
    """The increments in a folder on their base, with the LoRA or the trained base in the same folder, if any."""
    folder = Path(folder)
    if not adapter_file.is_adapter(folder):
        return _open_peft(folder, base, tokenizer, options)
    record = adapter_file.read(folder)
    recorded, requires = record["base"]["source"], record.get("requires")
    if requires in (LORA, FULL) and not (folder / requires).is_dir():
        raise UserError(
            f"{folder / requires} is missing, which was trained with these increments; copy it as well."
        )
    source = (
        base if base is not None and requires != FULL else folder / FULL if requires == FULL else recorded
    )
    if not source:
        raise UserError(f"{folder} does not record where its base model is; name it with base=.")
    own = _tokenizer(source, recorded, tokenizer, options)
    model = open_model(source, **options)
    if requires == LORA:
        model = with_lora(model, folder / LORA)
    return adapter.load(model, folder, strict=strict, tokenizer=own)


def with_lora(model: Any, folder: Path) -> Any:
    """A model with a trained LoRA on it."""
    try:
        import peft
    except ImportError as error:
        raise UserError("LoRA needs peft, which is not installed; run: pip install 'ropewalk[hf]'") from error
    with quiet():
        return peft.PeftModel.from_pretrained(model, str(folder)).eval()


@contextmanager
def quiet() -> Iterator[None]:
    """Silences the warnings of PEFT and transformers about each other's names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _open_peft(folder: Path, base: str | Path | None, tokenizer: Any, options: dict[str, Any]) -> Grafted:
    record = read_json(folder / "adapter_config.json")
    recorded = str(record.get("base_model_name_or_path") or "")
    if not (base or recorded):
        raise UserError(f"{folder} does not record where its base model is; name it with base=.")
    source = base or recorded
    own = _tokenizer(source, recorded, tokenizer, options)
    model = with_lora(open_model(source, **options), folder)
    if record.get("peft_type") != "ROPEWALK":
        return graft(model, parametrization="integer", tokenizer=own)
    from ropewalk.hf.peft import peft_host

    return peft_host(model, own)


def _tokenizer(source: str | Path, recorded: str, tokenizer: Any, options: dict[str, Any]) -> Tokenizer:
    if tokenizer is not None:
        return as_tokenizer(tokenizer)
    try:
        return tokenizer_of(source, **options)
    except UserError:
        if not recorded or str(source) == recorded:
            raise
        return tokenizer_of(recorded, **options)


def _byte_vocabulary() -> dict[str, int]:
    vocabulary: dict[str, int] = byte_tokenizer().get_vocab()
    return vocabulary
