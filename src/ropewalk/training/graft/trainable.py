"""A grafted model as something the training loop can train, and how its checkpoints are kept.

Only what learns is kept in a checkpoint: increments, and LoRA's or all of the base's weights. Master
weights are float32 wherever they learn, so that small steps do not vanish in bfloat16.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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
from ropewalk.native.checkpoint import OPTIMIZER, TRAINING, read_tensors
from ropewalk.system.files import read_json, sha256
from ropewalk.system.folders import write_folder
from ropewalk.system.sharded_tensors import gather_tensors
from ropewalk.training import distributed
from ropewalk.training.graft.recipe import GraftConfig, How

LEARNED = "learned.safetensors"


class Trainee(nn.Module):
    """The increments, named `parametrizations.`, and the model they are on, named `model.`."""

    def __init__(self, graft: Graft, compute: torch.dtype) -> None:
        super().__init__()
        self.increment_modules, self.model = graft.increment_modules, graft.model
        self.__dict__["graft"], self.compute = graft, compute

    @property
    def rows(self) -> tuple[Row, ...]:
        return self.__dict__["graft"].rows

    def forward(self, tokens: Tensor) -> Output:
        with torch.autocast(tokens.device.type, self.compute, enabled=self.compute != torch.float32):
            return self.__dict__["graft"](tokens)

    def learned(self) -> dict[str, Tensor]:
        """The parameters that learn, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}


def open_base(config: GraftConfig, compute: torch.dtype, seed: int) -> Any:
    """The base model with what `how` asks for: LoRA added, or frozen, or as it is; float32 where it
    learns.
    """
    model = open_model(
        config.base, dtype=compute if learns_little(config.how, config.shard) else torch.float32
    )
    if config.checkpointing:
        word = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
        getattr(model, f"{word}_checkpointing_enable")(
            **{f"{word}_checkpointing_kwargs": {"use_reentrant": False}}
        )
    if config.how == "full":
        return model
    model.requires_grad_(False)
    return _with_lora(model, config.lora_rank, seed) if config.how == "lora" else model


def reopened(config: GraftConfig, folder: Path) -> Graft:
    """A finished training's model, from the `model` folder that it left: frozen, and ready to be measured."""
    model = open_model(str(folder / "base") if config.how == "full" else config.base, dtype=torch.float32)
    if config.how == "lora":
        import peft

        with _quiet():
            model = peft.PeftModel.from_pretrained(model, folder / "lora")
    unit = config.increments.parametrization == "integer"
    graft = Graft(model, config.increments) if unit else adapter.load(model, folder)
    graft.model.requires_grad_(False).eval()
    return graft


def learns_little(how: How, shard: bool) -> bool:
    """Whether the base can stay in a narrow dtype: it does not learn, and shards nothing of another dtype."""
    return how == "frozen" or (how == "lora" and not shard)


def _with_lora(model: Any, rank: int, seed: int) -> Any:
    try:
        import peft
    except ImportError as error:
        raise UserError("LoRA needs peft, which is not installed; run: pip install 'ropewalk[hf]'") from error
    torch.manual_seed(seed)
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=2 * rank, target_modules="all-linear")
    with _quiet():
        return peft.get_peft_model(model, config)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps to itself what PEFT and transformers say about each other's names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def spread(graft: Graft, config: GraftConfig, device: str, compute: torch.dtype) -> None:
    """Makes a grafted model's passes its processes' common work; its increments are sharded by themselves, so that
    they stay float32.
    """
    experts = ("num_experts", "num_local_experts", "n_routed_experts")
    learns = not learns_little(config.how, config.shard) and compute != torch.float32
    run = distributed.wrap_ddp_or_fsdp(
        graft.model,
        device=device,
        shard=config.shard,
        parts=graft.anatomy.layers,
        apart=graft.increment_modules,
        mixed=compute if learns else None,
        unused=any(getattr(graft.anatomy.config, name, None) for name in experts),
    )
    if run is not graft.model:
        graft.run = run


def save(
    folder: Path,
    trainee: Trainee,
    provenance: dict[str, Any],
    *,
    training: tuple[dict[str, Tensor], dict[str, Any]],
    write: bool = True,
) -> None:
    """Writes a checkpoint; every process must call this, and one of them may `write`."""
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


def read(folder: Path, trainee: Trainee) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """A checkpoint for the trainee: what learned, optimizer state, training state. UserError for damage."""
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
