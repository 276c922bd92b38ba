"""ropewalk graft-train: learned increments on a Hugging Face model, trained next to a baseline without them."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ropewalk.cli.options import Overrides, StartTokens, option_groups
from ropewalk.cli.printing import echo
from ropewalk.system.seeds import MAX_SEED

if TYPE_CHECKING:
    from ropewalk.training.graft.paired import Report
    from ropewalk.training.graft.recipe import GraftRecipe


@dataclass(frozen=True)
class GraftOptions:
    """The settings of a graft's training that are set most often; `--set` reaches every other."""

    trainable: Annotated[
        Literal["increments", "lora", "full"],
        typer.Option(help="What is trained: the increments alone, LoRA adapters too, or all weights."),
    ] = "increments"
    parametrization: Annotated[
        str,
        typer.Option(
            help="How an increment is computed, such as bounded or constant; an unknown name lists all."
        ),
    ] = "bounded"
    per: Annotated[
        Literal["layer", "shared"], typer.Option(help="One row of increments per layer, or one for all.")
    ] = "layer"
    per_head: Annotated[
        bool, typer.Option("--per-head", help="One row per key/value head instead of one for all heads.")
    ] = False
    gap: Annotated[
        Literal["before", "after"],
        typer.Option(help="The gap before a token, or after it as in the published graft."),
    ] = "before"
    steps: Annotated[int, typer.Option(help="Steps of each of the two runs.")] = 1000
    batch_size: Annotated[int, typer.Option(help="Global batch size, in windows.")] = 32
    micro_batch_size: Annotated[
        int | None, typer.Option(help="Windows of one forward and backward pass on a device.")
    ] = None
    context_length: Annotated[int, typer.Option(help="Tokens in a window.")] = 512
    lr: Annotated[float | None, typer.Option(help="Peak learning rate of the increments (default 1e-3).")] = (
        None
    )
    base_lr: Annotated[float | None, typer.Option(help="Peak learning rate of LoRA or the base.")] = None
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto"
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], typer.Option(help="Compute dtype of the base.")
    ] = "auto"
    seed: Annotated[
        int, typer.Option(help="Determines data order and initial weights.", min=0, max=MAX_SEED)
    ] = 42
    validation_documents: Annotated[int, typer.Option(help="Documents held out of --corpus.")] = 50
    validation_tokens: Annotated[int, typer.Option(help="Held-out tokens to compare on.")] = 100_000
    keep: Annotated[
        int, typer.Option(min=1, help="Checkpoints to keep during a run; none are kept after it.")
    ] = 1
    start: StartTokens = "auto"
    checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Recompute activations, to save memory.")
    ] = False
    shard: Annotated[
        bool, typer.Option("--shard", help="Split the model over the processes (FSDP2) instead of DDP.")
    ] = False

    def table(self, base: str) -> dict[str, Any]:
        """The sections [model], [optimizer] and [train] of the recipe."""
        from ropewalk.tokens.tokenizer import read_start
        from ropewalk.training.graft.recipe import rates

        usual = rates(self.trainable, self.steps)
        base_lr = usual.lr if self.base_lr is None else self.base_lr
        lr = usual.lr * usual.increments_lr_multiplier if self.lr is None else self.lr
        increments = {
            "parametrization": self.parametrization,
            "per": self.per,
            "per_head": self.per_head,
            "gap": self.gap,
        }
        return {
            "model": {
                "base": base, "trainable": self.trainable, "context_length": self.context_length, "start": read_start(self.start),
                "checkpointing": self.checkpointing, "shard": self.shard, "increments": increments,
            },
            "optimizer": {
                "lr": base_lr, "increments_lr_multiplier": lr / base_lr if base_lr else lr, "warmup": usual.warmup,
            },
            "train": {
                "steps": self.steps, "batch_size": self.batch_size, "micro_batch_size": self.micro_batch_size,
                "seed": self.seed, "device": self.device, "precision": self.precision, "compile": False,
                "validation_tokens": self.validation_tokens, "validate_every": max(1, self.steps // 10),
                "keep": self.keep,
            },
        }  # fmt: skip


@option_groups
def graft_train(
    base: Annotated[str, typer.Argument(help="A Hugging Face model: a local folder or a hub name.")],
    options: GraftOptions,
    corpus: Annotated[
        list[str] | None,
        typer.Option(help="A text file, a folder or a pattern such as 'texts/*.jsonl'; may be repeated."),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="Take [corpus] from a recipe instead, as `ropewalk train` reads it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder (default: runs/graft-BASE).")] = None,
    set: Overrides = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the folder.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print memory and time estimates and stop.")
    ] = False,
) -> None:
    """Graft learned increments onto a Hugging Face model and train them next to a baseline without them.

    Both runs see the same data for the same steps; the report gives the difference in held-out loss
    with a 95 % interval. The estimated memory and time are printed first. With --trainable increments the baseline has nothing to train
    and is only evaluated. Several GPUs: start it with torchrun or
    accelerate.

    Examples:

      ropewalk graft-train HuggingFaceTB/SmolLM2-135M --corpus texts/ --steps 500

      ropewalk graft-train ./my-llama --corpus a.jsonl --trainable lora --per shared --gap after

      ropewalk graft-train ./my-llama --corpus a.jsonl --set corpus.text_key=body --set model.lora_rank=8

      torchrun --nproc-per-node 8 -m ropewalk graft-train BASE-7B --corpus texts/ --trainable full --shard
    """
    from ropewalk.training import distributed

    plan = _recipe(base, options, _source(corpus, recipe, options), set)
    team = distributed.launched()
    _check_memory(plan, team, dry_run)
    if dry_run:
        return
    folder = out or Path("runs") / f"graft-{Path(base).resolve().name}"
    report = _trained(plan, folder, team, resume)
    if team.first:
        for row in report.grafted.spacing:
            echo(f"{row['row']}: mean increment {row['mean']:.3f}, standard deviation {row['std']:.3f}")
        echo(report.summary())
        echo(f"report in {folder / 'report.json'}; increments in {folder / 'grafted' / 'model'}")


def _source(corpus: list[str] | None, recipe: Path | None, options: GraftOptions) -> dict[str, Any]:
    """The section [corpus] of the recipe."""
    from ropewalk.corpus.files import expand
    from ropewalk.errors import UserError
    from ropewalk.training.recipe import read_recipe

    if (recipe is None) == (not corpus):
        raise UserError("graft-train needs text: give --corpus PATH (may be repeated), or --recipe FILE.")
    if recipe is not None:
        return read_recipe(recipe).corpus.model_dump(mode="json", exclude_defaults=True)
    paths = [{"path": str(path)} for path in expand(corpus or [])]
    return {"sources": paths, "validation_documents": options.validation_documents}


def _recipe(
    base: str, options: GraftOptions, corpus: dict[str, Any], overrides: list[str] | None
) -> GraftRecipe:
    from pydantic import ValidationError

    from ropewalk.errors import UserError, first_problem
    from ropewalk.loading import kind_of
    from ropewalk.system import toml
    from ropewalk.training.graft.recipe import GraftRecipe

    if kind_of(base) == "native":
        raise UserError(
            f"{base} is a native model, whose increments `ropewalk train` trains; name a Hugging Face model."
        )
    table = {"corpus": corpus, **options.table(base)}
    for override in overrides or []:
        toml.apply_override(table, override)
    try:
        return toml.validate(GraftRecipe, table)
    except ValidationError as error:
        raise UserError(
            f"invalid options: {first_problem(error)}; see: ropewalk graft-train --help"
        ) from error


def _check_memory(plan: GraftRecipe, team: Any, dry_run: bool) -> None:
    """Print what the training needs; UserError where it does not fit."""
    import torch

    from ropewalk.training import distributed, execution
    from ropewalk.training.graft import memory_estimate, time_estimate

    machine, _ = execution.plan_execution(plan.train.device, plan.train.precision, compile=False)
    estimate = memory_estimate.estimate(plan, compute=getattr(torch, machine.precision), ranks=team.ranks)
    if team.first:
        for line in (*estimate.describe(team.ranks, "graft-train"), time_estimate.describe(plan, machine)):
            echo(line, err=True)
    if not dry_run:
        instead = "lower --micro-batch-size or --context-length, or give --gradient-checkpointing"
        estimate.require(machine, distributed.SINGLE_PROCESS, instead)


def _trained(plan: GraftRecipe, folder: Path, team: Any, resume: bool) -> Report:
    from ropewalk.cli.progress import watching
    from ropewalk.cli.train import stopped
    from ropewalk.corpus import prepare
    from ropewalk.hf.opening import tokenizer_of
    from ropewalk.system.cache_folder import cache_folder
    from ropewalk.training import distributed
    from ropewalk.training.corpus_tokens import tokenize_corpus
    from ropewalk.training.graft import paired

    with distributed.one_at_a_time(cache_folder()):
        corpus = tokenize_corpus(prepare(plan.corpus), tokenizer_of(plan.model.base))
    try:
        with watching(folder, plan.train.steps, unit="token") if team.first else nullcontext() as watch:
            return paired.train(plan, corpus, folder, resume=resume, watch=watch)
    except KeyboardInterrupt:
        raise stopped(folder, team.first) from None
