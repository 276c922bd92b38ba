"""ropewalk prepare and ropewalk train: a corpus, and a model trained on it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

Recipe = Annotated[Path, typer.Argument(help="A recipe, such as recipes/cpu.toml.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Override one key: section.key=value; may be repeated.")
]


def prepare(recipe: Recipe, set: Set = None) -> None:
    """Prepare the corpus of a recipe: read, split, join, and keep it ready for training.

    Examples:

      ropewalk prepare recipes/cpu.toml

      ropewalk prepare recipes/bundled.toml --set corpus.root=/data/corpus
    """
    from rich.console import Console
    from rich.table import Table

    from ropewalk.corpus import prepare as prepare_corpus
    from ropewalk.training import recipe as recipes

    corpus = prepare_corpus(recipes.read_recipe(recipe, set).corpus)
    table = Table("split", "documents", "bytes", title=f"corpus {corpus.hash}")
    for split in ("train", "validation"):
        table.add_row(split, f"{corpus.info['documents'][split]:,}", f"{corpus.info['bytes'][split]:,}")
    console = Console()
    console.print(table)
    console.print(f"prepared in {corpus.folder}", highlight=False, soft_wrap=True)


def train(
    recipe: Recipe,
    out: Annotated[Path | None, typer.Option(help="The run folder (default: runs/RECIPE).")] = None,
    set: Set = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder, or start it if there is none.")
    ] = False,
    shard: Annotated[
        bool, typer.Option("--shard", help="Split the model over the processes (FSDP2) instead of DDP.")
    ] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard files.")] = False,
) -> None:
    """Train a model whose layers choose their own token spacing.

    A run folder holds recipe.json, metrics.jsonl, checkpoints/ and, at the end, model/. Ctrl-C saves and stops;
    --resume goes on, bit for bit on a CPU. Several processes: start it with torchrun or accelerate, see
    docs/scale.md.

    Examples:

      ropewalk train recipes/smoke.toml

      ropewalk train recipes/cpu.toml --out runs/mine --set train.steps=500

      ropewalk train recipes/cpu.toml --out runs/mine --set train.steps=500 --resume

      torchrun --nproc-per-node 8 -m ropewalk train recipes/post.toml --out runs/post --resume
    """
    from ropewalk.cli.progress import watching
    from ropewalk.corpus import prepare as prepare_corpus
    from ropewalk.system.cache_folder import cache_folder
    from ropewalk.training import distributed, memory_estimate
    from ropewalk.training import recipe as recipes
    from ropewalk.training.loop import train as train_model

    plan = recipes.read_recipe(recipe, set)
    folder = out or Path("runs") / recipe.stem
    team = distributed.launched()
    needed = memory_estimate.estimate(plan, ranks=team.ranks, shard=shard)
    if team.first and needed.large:
        for line in needed.told(team.ranks, "train"):
            typer.echo(line, err=True)
    with distributed.one_at_a_time(cache_folder()):
        corpus = prepare_corpus(plan.corpus)
    try:
        with (
            watching(folder, plan.train.steps, tensorboard=tensorboard)
            if team.first
            else nullcontext() as watch
        ):
            model = train_model(plan, corpus, folder, resume=resume, shard=shard, watch=watch)
    except KeyboardInterrupt:
        if team.first:
            typer.echo(
                f"ropewalk: stopped; the run is saved in {folder}. Go on with the same command and --resume.",
                err=True,
            )
        raise typer.Exit(130) from None
    if team.first:
        typer.echo(f'the model is in {model}; look at it: ropewalk show "some text" --model {model}')
