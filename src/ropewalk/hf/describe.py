"""A Hugging Face model or a folder of increments in a few lines, from its configuration and tokenizer: no weights are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ropewalk.errors import UserError
from ropewalk.hf import adapter_file
from ropewalk.hf.hub import hub_adapter
from ropewalk.hf.loading import find_source, open_config
from ropewalk.hf.opening import tokenizer_of
from ropewalk.system.files import read_json

NOT_GRAFTED = (
    "nothing learned: every gap is 1 (show and probe measure how much predictions depend on each gap)"
)


def describe(name: str | Path) -> dict[str, Any]:
    """What a model is, as plain values by what each says. UserError for anything that cannot be opened."""
    folder = hub_adapter(name) or Path(name)
    if adapter_file.is_adapter(folder):
        record = adapter_file.read(folder)
        settings = record["increments"]
        own = {
            "increments": f"{settings['parametrization']}, per {settings['per']}, gap {settings['gap']}, on layers "
            f"{record['layers'][0]} to {record['layers'][-1]}",
            "trained with": {"lora": "a LoRA", "base": "the whole base"}.get(
                str(record.get("requires")), "a frozen base"
            ),
        }
        return own | _base(folder / "base" if record.get("requires") == "base" else record["base"]["source"])
    if (folder / "adapter_config.json").is_file():
        record = read_json(folder / "adapter_config.json")
        return {"adapter": f"PEFT, {record.get('peft_type')}"} | _base(
            str(record.get("base_model_name_or_path"))
        )
    return {"increments": NOT_GRAFTED} | _base(name)


def _base(name: str | Path) -> dict[str, Any]:
    """A Hugging Face model."""
    config = open_config(name)
    text = config.get_text_config()
    found = {
        "base": str(name),
        "family": f"{config.model_type} ({', '.join(config.architectures or ['no class recorded'])})",
        "parameters": _parameters(config),
        "layers": int(text.num_hidden_layers),
        "hidden size": int(text.hidden_size),
        "heads": f"{text.num_attention_heads}, {_kv_heads(text)} for keys and values",
        "context length": int(getattr(text, "max_position_embeddings", None) or 0) or "unknown",
        "RoPE": _rope(text),
    }
    kinds = list(dict.fromkeys(getattr(text, "layer_types", None) or []))
    if len(kinds) > 1:
        counts = {kind: text.layer_types.count(kind) for kind in kinds}
        found["kinds of layers"] = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    gguf = find_source(name).gguf
    return found | ({"file": gguf} if gguf else {}) | _tokenizer(name)


def _tokenizer(name: str | Path) -> dict[str, Any]:
    try:
        tokenizer: Any = tokenizer_of(name)
    except UserError as error:
        return {"tokenizer": str(error)}
    inner = getattr(tokenizer, "tokenizer", None)
    prefix = tokenizer.prefix("auto")
    chat = inner is not None and bool(inner.chat_template)
    return {
        "tokenizer": f"{type(inner).__name__}, {tokenizer.vocab_size:,} tokens"
        if inner is not None
        else "UTF-8 bytes",
        "tokens before a text": " ".join(map(str, inner.convert_ids_to_tokens(list(prefix)))) or "none"
        if inner is not None
        else "none",
        "chat template": "yes" if chat else "no",
    }


def _parameters(config: Any) -> int:
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return sum(parameter.numel() for parameter in model.parameters())


def _kv_heads(text: Any) -> int:
    return int(getattr(text, "num_key_value_heads", None) or text.num_attention_heads)


def _rope(text: Any) -> str:
    """The kind of RoPE and its base, for each kind of layer where they differ."""
    settings = getattr(text, "rope_parameters", None) or {}
    nested = {kind: value for kind, value in settings.items() if isinstance(value, dict)}
    each = nested or ({"": settings} if settings else {})
    words = [
        f"{value.get('rope_type', 'default')}, theta {value.get('rope_theta', 0):g}"
        + (f" ({kind})" if kind else "")
        for kind, value in each.items()
    ]
    return "; ".join(words) or "none"
