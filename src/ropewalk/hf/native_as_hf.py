"""The native decoder as a transformers model: `AutoModelForCausalLM.from_pretrained(folder)` and `generate()`.

Reads and writes native model folders, hashes included. Its cache wraps the decoder's own: encoded keys and running
sums.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache as HostCache
from transformers.modeling_outputs import CausalLMOutputWithPast

from ropewalk.core import loss
from ropewalk.errors import UserError
from ropewalk.hf.cache_state import CACHE_NAME
from ropewalk.native import checkpoint
from ropewalk.native.config import DecoderConfig
from ropewalk.native.decoder import Decoder
from ropewalk.native.kv_cache import KVCache
from ropewalk.tokens.utf8_bytes import END


class RopewalkDecoderConfig(PreTrainedConfig):
    """`model` is a `DecoderConfig` as json, `provenance` where the weights come from."""

    model_type = "ropewalk"

    def __init__(
        self, model: dict[str, Any] | None = None, provenance: dict[str, Any] | None = None, **more: Any
    ) -> None:
        shape = DecoderConfig.model_validate(model or {})
        self.model = shape.model_dump(mode="json", exclude={"increments": {"table"}})
        self.provenance = provenance or {}
        self.vocab_size, self.hidden_size = shape.vocab_size, shape.hidden_size
        self.num_hidden_layers, self.num_attention_heads = shape.num_layers, shape.num_heads
        self.num_key_value_heads, self.max_position_embeddings = shape.kv_heads, shape.context_length
        ends = END if shape.vocab_size > END else None
        for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"):
            more.pop(name, None)
        super().__init__(**{"bos_token_id": ends, "eos_token_id": ends, **more})
        self.tie_word_embeddings = True


class DecoderCache(HostCache):
    """The decoder's key/value cache in the form that transformers expects."""

    is_compileable = False

    def __init__(self, cache: KVCache) -> None:
        super().__init__(layers=[])
        self.cache = cache

    def get_seq_length(self, layer_idx: int = 0, *args: Any) -> int:
        return self.cache.layers[0].keys.length

    def get_max_cache_shape(self, *args: Any) -> int:
        return -1

    def reorder_cache(self, beam_idx: Tensor) -> None:
        self._change_rows(lambda rows: rows.index_select(0, beam_idx.to(rows.device)))

    def batch_repeat_interleave(self, repeats: int) -> None:
        self._change_rows(lambda rows: rows.repeat_interleave(repeats, 0))

    def batch_select_indices(self, indices: Tensor) -> None:
        self._change_rows(lambda rows: rows[indices])

    def _change_rows(self, change: Any) -> None:
        def changed(rows: Tensor | None) -> Tensor | None:
            return None if rows is None else change(rows)

        cache = self.cache
        for layer in cache.layers:
            for kept in (layer.keys, layer.values):
                kept.buffer = changed(kept.buffer)
            layer.decay = changed(layer.decay)
        cache.offsets = [changed(offset) for offset in cache.offsets]
        cache.next_position = changed(cache.next_position)
        cache.document_ids = changed(cache.document_ids)


class RopewalkForCausalLM(PreTrainedModel, GenerationMixin):
    """A native decoder as a transformers model. `decoder` is the decoder itself, which measurements take."""

    config_class = RopewalkDecoderConfig
    base_model_prefix = "decoder"
    main_input_name = "input_ids"
    _no_split_modules = ["Layer"]  # noqa: RUF012  # the form that transformers expects

    def __init__(self, config: RopewalkDecoderConfig, decoder: Decoder | None = None) -> None:
        super().__init__(config)
        self.decoder = decoder or Decoder(DecoderConfig.model_validate(config.model))

    @classmethod
    def from_pretrained(cls, name: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """The model in a native folder, or under a hub name; its hash is checked.

        `dtype` is what the residual stream is computed in: weights and positions stay float32. UserError for
        anything that is not a native model.
        """
        folder = _folder(name)
        decoder = checkpoint.load_decoder(folder)
        saved = checkpoint.read_config(folder)
        own = decoder.own_tokenizer
        ends = {} if own is None else {"bos_token_id": own.end, "eos_token_id": own.end}
        config = RopewalkDecoderConfig(model=saved["model"], provenance=saved["provenance"], **ends)
        model: Any = cls(config, decoder)
        dtype = kwargs.get("dtype") or kwargs.get("torch_dtype")
        if isinstance(dtype, str) and dtype != "auto":
            dtype = getattr(torch, dtype, None)
        if isinstance(dtype, torch.dtype):
            decoder.compute_dtype = dtype
        device = kwargs.get("device_map")
        return (
            model.to(device).eval()
            if isinstance(device, str | torch.device) and device != "auto"
            else model.eval()
        )

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
        """Writes a native model folder, which `ropewalk.load` and `from_pretrained` both read."""
        checkpoint.save_decoder(Path(save_directory), self.decoder, self.config.provenance)

    def _init_weights(self, module: Any) -> None:
        """Does nothing: the decoder draws its own weights."""

    def get_input_embeddings(self) -> Any:
        return _Embedding(self.decoder)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        cache: Any = None,
        **unused: Any,
    ) -> CausalLMOutputWithPast:
        """Logits (B, T, V), and the mean loss in nats per token where labels (B, T) are given (-100: left out)."""
        given = past_key_values if cache is None else cache
        past = given if isinstance(given, DecoderCache) else None
        if past is None and use_cache:
            past = DecoderCache(self.decoder.new_cache())
        first = past is None or past.get_seq_length() == 0
        padded = first and attention_mask is not None and not bool(attention_mask.all())
        document_ids = attention_mask.long() - 1 if padded and attention_mask is not None else None
        output = self.decoder(input_ids, document_ids=document_ids, kv_cache=past.cache if past else None)
        value = None
        if labels is not None:
            seen = labels[:, 1:] != -100
            value = loss.nats(output.logits[:, :-1][seen][None], labels[:, 1:][seen][None])
        found: dict[str, Any] = {CACHE_NAME: past}
        return CausalLMOutputWithPast(loss=value, logits=output.logits, **found)

    def prepare_inputs_for_generation(  # type: ignore[override]
        self,
        input_ids: Tensor,
        past_key_values: Any = None,
        attention_mask: Tensor | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        given = more.get("cache", past_key_values)
        past = given if isinstance(given, DecoderCache) else None
        return {
            "input_ids": input_ids[:, past.get_seq_length() if past else 0 :],
            "attention_mask": attention_mask,
            CACHE_NAME: past,
            "use_cache": more.get("use_cache", True),
        }

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False


class _Embedding:
    """The attributes that transformers reads from an embedding layer."""

    def __init__(self, decoder: Decoder) -> None:
        self.weight = decoder.embedding
        self.num_embeddings, self.embedding_dim = decoder.embedding.shape


def _folder(name: Any) -> Path:
    if Path(name).is_dir():
        return Path(name)
    from transformers.utils import cached_file

    try:
        paths = [cached_file(str(name), file) for file in (checkpoint.CONFIG, checkpoint.WEIGHTS)]
    except OSError as error:
        raise UserError(
            f"{name} is neither a folder nor a model on the hub ({error}); name a native model folder."
        ) from error
    return Path(str(paths[0])).parent


def register() -> None:
    """Registers native models with the Auto classes."""
    AutoConfig.register(RopewalkDecoderConfig.model_type, RopewalkDecoderConfig, exist_ok=True)
    AutoModelForCausalLM.register(RopewalkDecoderConfig, RopewalkForCausalLM, exist_ok=True)


register()
