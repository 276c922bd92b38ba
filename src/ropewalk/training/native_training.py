"""Trains a native model: builds the decoder, runs the loop, writes the finished model."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ropewalk.corpus import Corpus
from ropewalk.errors import UserError
from ropewalk.native import checkpoint
from ropewalk.native.decoder import Decoder
from ropewalk.tokens.tokenizer_file import FileTokenizer, read_tokenizer
from ropewalk.training import distributed, execution, fast_step, memory_estimate
from ropewalk.training.corpus_tokens import tokenize_corpus
from ropewalk.training.distributed import SINGLE_PROCESS, ProcessGroup
from ropewalk.training.fit_steps import with_fitting_steps
from ropewalk.training.loop import CheckpointIO, EagerSteps, ProgressCallback, State, Stepper, loop
from ropewalk.training.optimizer import Optimizers
from ropewalk.training.recipe import Recipe, step_tokens
from ropewalk.training.run import fill_frozen, open_run


def train(
    recipe: Recipe,
    corpus: Corpus,
    folder: str | Path,
    *,
    resume: bool = False,
    shard: bool = False,
    watch: ProgressCallback | None = None,
) -> Path:
    """Trains, or resumes training, and returns the folder of the finished model.

    Where a launcher started several processes, each of them calls this, and only the first one's `watch` is called.
    shard: the processes split the model (FSDP2) instead of replicating it (DDP). Raises UserError for a folder that
    holds another run and for a run that diverges; KeyboardInterrupt passes through after a checkpoint is written.
    """
    folder = Path(folder)
    config, began = recipe.train, time.monotonic()
    corpus, tokenizer = _in_tokens(recipe, corpus)
    plan, notes = execution.plan_execution(
        config.device, config.precision, config.compile and not shard, config.cuda_graphs
    )
    with distributed.join_process_group(plan.device) as group:
        distributed.check_batch(group, config.batch_size, shard)
        needed = memory_estimate.estimate(recipe, ranks=group.ranks, shard=shard)
        needed.require(plan, group, "lower train.micro_batch_size or model.context_length")
        if plan.graphs and (problem := fast_step.unsupported(recipe, group.ranks)):
            raise UserError(f"{problem}; set train.cuda_graphs = false, or change the other setting.")
        if config.minutes is not None and group.ranks > 1:
            raise UserError("train.minutes measures the rate of one process; give train.steps instead.")
        recipe = with_fitting_steps(
            recipe,
            folder,
            resume=resume,
            began=began,
            device=plan.device,
            make=lambda probe: _throwaway(probe, corpus, plan),
        )
        with open_run(group, folder, recipe, asdict(plan) | {"shard": shard}, corpus, resume=resume) as run:
            for note in notes:
                run.note(note)
            model = Decoder(recipe.model, seed=config.seed)
            model.own_tokenizer = tokenizer
            fill_frozen(model, recipe.model.increments.table)
            parallel = _parallelize(model, plan, group, shard)
            optimizers = Optimizers(model, recipe.optimizer, step_tokens(recipe))
            checkpoints = CheckpointIO(checkpoint.save_decoder, checkpoint.read_training, group=group)
            state = State.resumed(run, model, optimizers, checkpoints) if resume else State()
            stepper = _fast(recipe, corpus, model, optimizers, plan, state.step)
            watch = watch if group.first else None
            loop(run, recipe, corpus, parallel, optimizers, state, watch, checkpoints, stepper)
            provenance = run.provenance(step=recipe.train.steps, validation=state.validation)
            checkpoint.save_decoder(folder / "model", model, provenance, write=group.first)
    return folder / "model"


def _in_tokens(recipe: Recipe, corpus: Corpus) -> tuple[Corpus, FileTokenizer | None]:
    """The corpus in the tokens of the recipe's tokenizer, and the tokenizer; as it is where tokens are bytes."""
    path = recipe.corpus.tokenizer
    if path is None:
        return corpus, None
    tokenizer = read_tokenizer((recipe.corpus.root or Path()) / path)
    if tokenizer.vocab_size > recipe.model.vocab_size:
        raise UserError(
            f"{path} has {tokenizer.vocab_size} tokens and model.vocab_size is {recipe.model.vocab_size}; set "
            f"model.vocab_size = {tokenizer.vocab_size}."
        )
    found = tokenize_corpus(corpus, tokenizer)
    described = {**corpus.info, "digests": {"tokens": found.hash}}
    return replace(found, info=described), tokenizer


def _fast(
    recipe: Recipe,
    corpus: Corpus,
    model: Decoder,
    optimizers: Optimizers,
    plan: execution.ExecutionPlan,
    first: int,
) -> fast_step.FastStep | None:
    """The fast step from step `first` on, where the plan asks for it and something is left to do."""
    if not plan.graphs or first >= recipe.train.steps:
        return None
    return fast_step.FastStep(
        recipe,
        corpus,
        model,
        optimizers,
        first=first,
        scope="model" if plan.compiled else "none",
        attention=recipe.train.attention,
    )


def _throwaway(recipe: Recipe, corpus: Corpus, plan: execution.ExecutionPlan) -> Stepper:
    """Steps of a model of its own, as the run will do them."""
    model = execution.apply_plan(plan, Decoder(recipe.model, seed=recipe.train.seed))
    optimizers = Optimizers(model, recipe.optimizer, step_tokens(recipe))
    eager = EagerSteps(recipe, corpus, model, optimizers, 0, SINGLE_PROCESS)
    return _fast(recipe, corpus, model, optimizers, plan, 0) or eager


def _parallelize(model: Decoder, plan: execution.ExecutionPlan, group: ProcessGroup, shard: bool) -> Any:
    """The model on its device, wrapped for the processes that share its training."""
    if not shard:
        execution.apply_plan(plan, model)
        return (
            model
            if group.ranks == 1
            else distributed.wrap_ddp_or_fsdp(model, device=plan.device, shard=False)
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
