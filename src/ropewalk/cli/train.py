"""ropewalk prepare, train and token-table: a corpus, a model trained on it, and its increments as a table."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ropewalk.cli.options import ModelArgument, Overrides
from ropewalk.cli.printing import echo

if TYPE_CHECKING:
    from ropewalk.training.recipe import Recipe

RecipeFile = Annotated[Path, typer.Argument(help="A recipe in TOML, such as recipes/cpu.toml.")]


def prepare(recipe: RecipeFile, set: Overrides = None) -> None:
    """Prepare the corpus of a recipe: read, split, join, and keep it ready for training.

    Examples:

      ropewalk prepare recipes/cpu.toml

      ropewalk prepare recipes/bundled.toml --set corpus.root=/data/corpus
    """
    from rich.console import Console
    from rich.table import Table

    from ropewalk.corpus import prepare as prepare_corpus
    from ropewalk.training.recipe import read_recipe

    corpus = prepare_corpus(read_recipe(recipe, set).corpus)
    table = Table("split", "documents", "bytes", title=f"corpus {corpus.hash}")
    for split in ("train", "validation"):
        table.add_row(split, f"{corpus.info['documents'][split]:,}", f"{corpus.info['bytes'][split]:,}")
    Console().print(table)
    echo(f"prepared in {corpus.folder}")


def train_tokenizer(
    recipe: RecipeFile,
    out: Annotated[Path, typer.Argument(help="The file to write, a tokenizer.json.")],
    set: Overrides = None,
    size: Annotated[int, typer.Option(help="Tokens in the vocabulary.")] = 8_000,
    megabytes: Annotated[int, typer.Option(min=1, help="How much of the training documents to read.")] = 50,
) -> None:
    """Train a byte-level BPE tokenizer on the corpus of a recipe, to train a model on its tokens.

    Examples:

      ropewalk train-tokenizer recipes/cpu.toml tokenizer.json --size 8000

      ropewalk train recipes/cpu.toml --set corpus.tokenizer=tokenizer.json --set model.vocab_size=8000
    """
    from ropewalk.corpus import prepare as prepare_corpus
    from ropewalk.training.recipe import read_recipe
    from ropewalk.training.train_tokenizer import train_tokenizer as train_on

    corpus = prepare_corpus(read_recipe(recipe, set).corpus)
    count = train_on(corpus, out, size=size, most_bytes=megabytes * 1_000_000)
    echo(
        f"wrote {out}, {count:,} tokens; train on it: --set corpus.tokenizer={out} --set model.vocab_size={count}"
    )


def train(
    recipe: RecipeFile,
    out: Annotated[Path | None, typer.Option(help="The run folder (default: runs/RECIPE).")] = None,
    set: Overrides = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in the folder, or start it if there is none.")
    ] = False,
    shard: Annotated[
        bool, typer.Option("--shard", help="Split the model over the processes (FSDP2) instead of DDP.")
    ] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard files.")] = False,
) -> None:
    """Train a model with learned position increments.

    A run folder holds recipe.json, metrics.jsonl, checkpoints/ and, at the end, model/. Ctrl-C saves and stops;
    --resume continues, bit for bit on a CPU. Several processes: start it with torchrun or accelerate, see
    docs/scale.md.

    Examples:

      ropewalk train recipes/smoke.toml

      ropewalk train recipes/cpu.toml --out runs/mine --set train.steps=500

      ropewalk train recipes/cpu.toml --out runs/mine --set train.steps=500 --resume

      torchrun --nproc-per-node 8 -m ropewalk train recipes/post.toml --out runs/post --resume
    """
    from ropewalk.cli.progress import watching
    from ropewalk.training import distributed
    from ropewalk.training.native_training import train as train_model
    from ropewalk.training.recipe import read_recipe

    plan = read_recipe(recipe, set)
    folder = out or Path("runs") / recipe.stem
    team = distributed.launched()
    corpus = _corpus(plan, team, shard)
    unit: Any = plan.token_unit.removesuffix("s")
    watcher = (
        watching(folder, plan.train.steps, tensorboard=tensorboard, unit=unit)
        if team.first
        else nullcontext()
    )
    try:
        with watcher as watch:
            model = train_model(plan, corpus, folder, resume=resume, shard=shard, watch=watch)
    except KeyboardInterrupt:
        raise stopped(folder, team.first) from None
    if team.first:
        echo(f'the model is in {model}; look at it: ropewalk show "some text" --model {model}')


def _corpus(plan: Recipe, team: Any, shard: bool) -> Any:
    """Print the memory that a large training needs, then prepare its corpus, one process at a time."""
    from ropewalk.corpus import prepare as prepare_corpus
    from ropewalk.system.cache_folder import cache_folder
    from ropewalk.training import distributed, memory_estimate

    needed = memory_estimate.estimate(plan, ranks=team.ranks, shard=shard)
    if team.first and needed.large:
        for line in needed.describe(team.ranks, "train"):
            echo(line, err=True)
    with distributed.one_at_a_time(cache_folder()):
        return prepare_corpus(plan.corpus)


def stopped(folder: Path, shown: bool) -> typer.Exit:
    """What an interrupted training raises, once it has said what is really saved."""
    if shown:
        saved = sorted(folder.glob("**/checkpoints/step-*"), key=lambda path: path.stat().st_mtime_ns)
        state = f"nothing is saved in {folder} yet"
        if saved:
            side, step = saved[-1].parent.parent, saved[-1].name
            state = f"{step if side == folder else f'{side.name}/{step}'} is saved in {folder}"
        echo(f"ropewalk: stopped; {state}. Continue with the same command and --resume.", err=True)
    return typer.Exit(130)


def token_table(
    model: ModelArgument,
    out: Annotated[Path, typer.Argument(help="The table to write, a .safetensors file.")],
    recipe: Annotated[Path, typer.Option(help="The recipe whose held-out text is read.")],
    set: Overrides = None,
    tokens: Annotated[int, typer.Option(min=1, help="How many held-out tokens to read.")] = 200_000,
) -> None:
    """Save a trained model's increments as a table, one value for each token and row, for the frozen parametrization.

    A token's entry is the mean of its increments over held-out text; tokens that never occur get 1.

    Examples:

      ropewalk token-table shared table.safetensors --recipe recipes/cpu.toml

      ropewalk train recipes/cpu.toml --set model.increments.parametrization=frozen --set model.increments.per=shared --set model.increments.table=table.safetensors
    """
    from ropewalk.cli.native import native_model
    from ropewalk.corpus import prepare as prepare_corpus
    from ropewalk.measure.token_table import save_table
    from ropewalk.training.recipe import read_recipe

    decoder = native_model(model, "token-table")
    corpus = prepare_corpus(read_recipe(recipe, set).corpus)
    counted = save_table(decoder, corpus, out, tokens=tokens)
    echo(f"wrote {out}: {counted} different tokens were seen; the others stay at 1.")
