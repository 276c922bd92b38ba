"""Small things that many tests need: a decoder's configuration, a decoder that has learned something, a run."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ropewalk.core.increment_config import IncrementConfig
from ropewalk.corpus import Corpus
from ropewalk.native.config import DecoderConfig
from ropewalk.native.decoder import Decoder
from ropewalk.training.recipe import Recipe

SUMMED = ("positive", "bounded", "signed", "constant", "table")
LEARNED = (*SUMMED, "free", "coordinate")


def config(
    parametrization: str = "bounded", *, decoder: dict[str, Any] | None = None, **increments: Any
) -> DecoderConfig:
    shape = {
        "hidden_size": 32,
        "num_heads": 4,
        "num_layers": 2,
        "context_length": 64,
        "rope_theta": 500.0,
        **(decoder or {}),
    }
    return DecoderConfig(
        increments=IncrementConfig(parametrization=parametrization, hidden_size=8, **increments), **shape
    )


def moved(model: Decoder, scale: float = 0.3) -> Decoder:
    """The model with every weight moved at random, so that no parametrization is at its start any more; in evaluation mode."""
    stream = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            spread = scale if parameter.dim() > 1 else 0.1
            parameter.add_(torch.randn(parameter.shape, generator=stream) * spread)
        for name, buffer in model.named_buffers():
            if name.endswith("table"):
                buffer.copy_(torch.randn(buffer.shape, generator=stream) * 0.4)
    return model.eval()


def tokens(batch: int, length: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(0, 257, (batch, length), generator=torch.Generator().manual_seed(seed))


def corpus(folder: Path = Path("nowhere")) -> Corpus:
    """A corpus in memory: a text that repeats, so that a tiny model learns from it within a few steps."""
    text = np.frombuffer(b"the cat sat on the mat. " * 200, np.uint8).astype("<u2")
    train, validation = text[:4000], text[4000:]
    info = {
        "bytes": {"train": len(train), "validation": len(validation)},
        "digests": {"train": "a", "validation": "b"},
    }
    return Corpus(folder, "a hash", train, validation, info)


def recipe(
    model: dict[str, Any] | None = None, optimizer: dict[str, Any] | None = None, **train: Any
) -> Recipe:
    """A run of a tiny decoder on the CPU, eager, float32, that writes a checkpoint after every step."""
    shape = {
        "hidden_size": 16,
        "num_heads": 2,
        "num_layers": 2,
        "context_length": 16,
        "increments": {"hidden_size": 4},
        **(model or {}),
    }
    defaults = {
        "steps": 6,
        "batch_size": 4,
        "micro_batch_size": 2,
        "device": "cpu",
        "precision": "float32",
        "compile": False,
        "log_every": 1,
        "validate_every": 3,
        "validation_tokens": 64,
        "checkpoint_minutes": 0,
    }
    return Recipe.model_validate(
        {
            "corpus": {"sources": [{"builtin": "python"}]},
            "model": shape,
            "optimizer": {"warmup": 2, "lr": 0.01, **(optimizer or {})},
            "train": {**defaults, **train},
        }
    )
