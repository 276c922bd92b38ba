"""A grafted model as something the training loop can train, and its checkpoints.

A checkpoint holds only what learns: increments, and the weights of LoRA or of the whole base. Weights that learn are
float32, so that small steps do not vanish in bfloat16.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ropewalk.core.host import Output
from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.hf import adapter
from ropewalk.hf.grafting import Graft
from ropewalk.hf.loading import open_model
from ropewalk.hf.opening import FULL, LORA, quiet, tokenizer_of, with_lora
from ropewalk.native.checkpoint import OPTIMIZER, TRAINING, read_tensors
from ropewalk.system.files import read_json, sha256
from ropewalk.system.folders import write_folder
from ropewalk.system.sharded_tensors import gather_tensors
from ropewalk.training import distributed
from ropewalk.training.graft.recipe import GraftConfig, Trainable

LEARNED = "learned.safetensors"


class Trainee(nn.Module):
    """The increments, named `increment_modules.`, and the model they are on, named `model.`.

    prefix: tokens that are put before every window and left out of its output, so that losses and increments are those of
    the window's own tokens.
    """

    def __init__(self, graft: Graft, compute: torch.dtype, prefix: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.increment_modules, self.model = graft.increment_modules, graft.model
        self.__dict__["graft"], self.compute, self.prefix = graft, compute, prefix

    @property
    def rows(self) -> tuple[Row, ...]:
        return self.__dict__["graft"].rows

    @property
    def increment_parameters(self) -> set[str]:
        """The names of the parameters that only make increments."""
        return {name for name, _ in self.named_parameters() if name.startswith("increment_modules.")}

    @property
    def matrix_parameters(self) -> set[str]:
        """Empty: grafts train with AdamW."""
        return set()

    def forward(self, tokens: Tensor) -> Output:
        """tokens (B, T) -> logits (B, T, V) and increments of these tokens."""
        skip, length = len(self.prefix), tokens.shape[1]
        if skip:
            before = torch.tensor(self.prefix, dtype=tokens.dtype, device=tokens.device)
            tokens = torch.cat([before.expand(len(tokens), -1), tokens], 1)
        with torch.autocast(tokens.device.type, self.compute, enabled=self.compute != torch.float32):
            output = self.__dict__["graft"](tokens, last=length if skip else None)
        return Output(output.logits, tuple(r[:, skip:] for r in output.r), output.activations)

    def learned(self) -> dict[str, Tensor]:
        """The parameters that learn, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}


def prefix_of(config: GraftConfig) -> tuple[int, ...]:
    """The tokens before each window. UserError for a start that the base's tokenizer does not have."""
    tokenizer = tokenizer_of(config.base)
    if isinstance(config.start, str) and config.start == "auto" and not hasattr(tokenizer, "tokenizer"):
        return ()  # byte models are trained on windows that run across documents
    return tokenizer.prefix(config.start)


def open_base(config: GraftConfig, compute: torch.dtype, seed: int) -> Any:
    """The base model as `trainable` asks for it: frozen, with LoRA added, or learning; float32 where it learns."""
    dtype = compute if has_narrow_base(config.trainable, config.shard) else torch.float32
    model = open_model(config.base, dtype=dtype)
    if config.checkpointing:
        word = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
        enable = getattr(model, f"{word}_checkpointing_enable")
        enable(**{f"{word}_checkpointing_kwargs": {"use_reentrant": False}})
    if config.trainable == "full":
        return model
    model.requires_grad_(False)
    return _add_lora(model, config.lora_rank, seed) if config.trainable == "lora" else model


def open_trained(config: GraftConfig, folder: str | Path) -> Graft:
    """A finished training's model from its `model` folder: frozen, ready to be measured, with its tokenizer."""
    folder = Path(folder)
    model = open_model(folder / FULL if config.trainable == "full" else config.base, dtype=torch.float32)
    if config.trainable == "lora":
        model = with_lora(model, folder / LORA)
    tokenizer = tokenizer_of(config.base)
    if config.increments.parametrization == "integer":
        graft = Graft(model, config.increments, tokenizer=tokenizer)
    else:
        graft = adapter.load(model, folder, tokenizer=tokenizer)
    graft.model.requires_grad_(False).eval()
    return graft


def has_narrow_base(trainable: Trainable, shard: bool) -> bool:
    """Whether the base can stay in a narrow dtype: it does not learn, and is not sharded with weights of another dtype."""
    return trainable == "increments" or (trainable == "lora" and not shard)


def _add_lora(model: Any, rank: int, seed: int) -> Any:
    try:
        import peft
    except ImportError as error:
        raise UserError("LoRA needs peft, which is not installed; run: pip install 'ropewalk[hf]'") from error
    torch.manual_seed(seed)
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=2 * rank, target_modules="all-linear")
    with quiet():
        return peft.get_peft_model(model, config)


def parallelize(graft: Graft, config: GraftConfig, device: str, compute: torch.dtype) -> None:
    """Wraps a grafted model for several processes; its increments are sharded by themselves, so that they stay float32."""
    experts = ("num_experts", "num_local_experts", "n_routed_experts")
    mixed = not has_narrow_base(config.trainable, config.shard) and compute != torch.float32
    run = distributed.wrap_ddp_or_fsdp(
        graft.model,
        device=device,
        shard=config.shard,
        parts=graft.structure.layers,
        apart=graft.increment_modules,
        mixed=compute if mixed else None,
        unused=any(getattr(graft.structure.config, name, None) for name in experts),
    )
    if run is not graft.model:
        graft.run = run


def save(
    folder: str | Path,
    trainee: Trainee,
    provenance: dict[str, Any],
    *,
    training: tuple[dict[str, Tensor], dict[str, Any]],
    write: bool = True,
) -> None:
    """Writes a checkpoint; every process must call this, and one of them may `write`."""
    folder = Path(folder)
    tensors = {name: t.clone() for name, t in gather_tensors(trainee.learned(), write).items()}
    if not write:
        return

    def fill(temporary: Path) -> None:
        save_file(tensors, temporary / LEARNED)
        save_file(training[0], temporary / OPTIMIZER)
        hashes = {"learned": sha256(temporary / LEARNED), "optimizer": sha256(temporary / OPTIMIZER)}
        state = {**training[1], **hashes, "provenance": provenance}
        (temporary / TRAINING).write_text(json.dumps(state, indent=1))

    write_folder(folder, fill)


def read(folder: str | Path, trainee: Trainee) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """A checkpoint for the trainee: what learned, optimizer state, training state. UserError for damage."""
    folder = Path(folder)
    state = read_json(folder / TRAINING)
    for file, name in ((LEARNED, "learned"), (OPTIMIZER, "optimizer")):
        if sha256(folder / file) != state.get(name):
            raise UserError(f"{folder / file} is damaged (its hash differs); delete this checkpoint folder.")
    tensors, own = read_tensors(folder / LEARNED), trainee.learned()
    if {name: t.shape for name, t in tensors.items()} != {name: p.shape for name, p in own.items()}:
        raise UserError(
            f"the checkpoint {folder} does not fit this model; resume with the recipe it was started with."
        )
    return tensors, read_tensors(folder / OPTIMIZER), state
