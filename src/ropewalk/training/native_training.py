"""Trains a native model: builds the decoder, runs the loop, writes the finished model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ropewalk.corpus import Corpus
from ropewalk.native import checkpoint
from ropewalk.native.decoder import Decoder
from ropewalk.training import distributed, execution, memory_estimate
from ropewalk.training.distributed import ProcessGroup
from ropewalk.training.loop import CheckpointIO, ProgressCallback, State, loop
from ropewalk.training.optimizer import Optimizers
from ropewalk.training.recipe import Recipe, step_tokens
from ropewalk.training.run import fill_frozen, open_run


def train(
    recipe: Recipe,
    corpus: Corpus,
    folder: Path,
    *,
    resume: bool = False,
    shard: bool = False,
    watch: ProgressCallback | None = None,
) -> Path:
    """Trains (or goes on training) and returns the folder of the finished model.

    Where a launcher started several processes, each of them calls this, and only the first one's `watch` is called.
    shard: the processes split the model (FSDP2) instead of replicating it (DDP). Raises UserError for a folder that
    holds another run and for a run that diverges; KeyboardInterrupt passes through after a checkpoint is written.
    """
    config = recipe.train
    plan, notes = execution.plan_execution(
        config.device, config.precision, config.compile and not shard, config.cuda_graphs
    )
    with distributed.join_process_group(plan.device) as group:
        distributed.check_batch(group, config.batch_size, shard)
        needed = memory_estimate.estimate(recipe, ranks=group.ranks, shard=shard)
        needed.require(plan, group, "lower train.micro_batch_size or model.context_length")
        with open_run(group, folder, recipe, asdict(plan) | {"shard": shard}, corpus, resume=resume) as run:
            for note in notes:
                run.note(note)
            model = Decoder(recipe.model, seed=config.seed)
            fill_frozen(model, recipe.model.increments.table)
            parallel = _parallelize(model, plan, group, shard)
            optimizers = Optimizers(model, recipe.optimizer, step_tokens(recipe))
            checkpoints = CheckpointIO(checkpoint.save_decoder, checkpoint.read_training, group=group)
            state = State.resumed(run, model, optimizers, checkpoints) if resume else State()
            loop(run, recipe, corpus, parallel, optimizers, state, watch if group.first else None, checkpoints)
            provenance = run.provenance(step=config.steps, validation=state.validation)
            checkpoint.save_decoder(folder / "model", model, provenance, write=group.first)
    return folder / "model"


def _parallelize(model: Decoder, plan: execution.ExecutionPlan, group: ProcessGroup, shard: bool) -> Any:
    """The model on its device, wrapped for the processes that share its training."""
    if not shard:
        execution.apply_plan(plan, model)
        return (
            model if group.ranks == 1 else distributed.wrap_ddp_or_fsdp(model, device=plan.device, shard=False)
        )
    distributed.wrap_ddp_or_fsdp(
        model,
        device=plan.device,
        shard=True,
        parts=model.layers,
        apart=model.float32_modules,
        mixed=getattr(torch, plan.precision),
        casts=False,
    )
    return execution.apply_plan(plan, model)
