"""ropewalk graft-train, probe, vocabulary and export-llama: Hugging Face models, and native ones as such."""

from __future__ import annotations

import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ropewalk.analyses.result import Result

Base = Annotated[str, typer.Argument(help="A Hugging Face model: a local folder or a hub name.")]
Model = Annotated[str, typer.Argument(help="A model: folder, hub name, or bundled name.")]
GraftFolder = Annotated[Path | None, typer.Option(help="Put the increments of this folder onto the model.")]


def graft_train(
    base: Base,
    corpus: Annotated[
        list[Path] | None,
        typer.Option(help="Text: .txt, .jsonl, .parquet or a folder; may be repeated."),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="Take [corpus] from a recipe instead, as `ropewalk train` reads it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder (default: runs/graft-BASE).")] = None,
    how: Annotated[
        str, typer.Option(help="What learns beside the increments: frozen, lora or full.")
    ] = "frozen",
    parametrization: Annotated[str, typer.Option(help="bounded, positive, signed or constant.")] = "bounded",
    per: Annotated[str, typer.Option(help="layer: each layer its own line; shared: one for all.")] = "layer",
    rows: Annotated[str, typer.Option(help="one per layer, or one per key_head.")] = "one",
    gap: Annotated[
        str, typer.Option(help="before a token, or after it as in the published graft.")
    ] = "before",
    steps: Annotated[int, typer.Option(help="Steps of each of the two trainings.")] = 1000,
    batch: Annotated[int, typer.Option(help="Windows in a step, over all processes.")] = 32,
    micro: Annotated[int | None, typer.Option(help="Windows on a device at a time.")] = None,
    context: Annotated[int, typer.Option(help="Tokens in a window.")] = 512,
    lr: Annotated[float | None, typer.Option(help="Peak rate of the increments (default 1e-3).")] = None,
    base_lr: Annotated[float | None, typer.Option(help="Peak rate of LoRA or the base.")] = None,
    lora_rank: Annotated[int, typer.Option(help="LoRA's rank.")] = 16,
    validation_documents: Annotated[int, typer.Option(help="Documents held out of --corpus.")] = 50,
    validation_tokens: Annotated[int, typer.Option(help="Held-out tokens to compare on.")] = 100_000,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    seed: Annotated[int, typer.Option(help="Data order and first weights.")] = 42,
    checkpointing: Annotated[
        bool, typer.Option("--checkpointing", help="Recompute activations, to save memory.")
    ] = False,
    shard: Annotated[
        bool, typer.Option("--shard", help="Split the model over the processes (FSDP2) instead of DDP.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the memory estimate and stop.")] = False,
) -> None:
    """Graft learned increments onto a Hugging Face model and train them beside a baseline without them.

    Both trainings see the same data for the same steps; the report tells the difference in held-out loss
    with a 95 % interval. The memory it will take is printed first. Several GPUs: start it with torchrun or
    accelerate.

    Examples:

      ropewalk graft-train HuggingFaceTB/SmolLM2-135M --corpus texts/ --steps 500

      ropewalk graft-train ./my-llama --corpus a.jsonl --how lora --per shared --gap after

      torchrun --nproc-per-node 8 -m ropewalk graft-train BASE-7B --corpus texts/ --how full --shard
    """
    from ropewalk.cli.options import one_of
    from ropewalk.cli.progress import watching
    from ropewalk.corpus import CorpusConfig, Source
    from ropewalk.corpus import prepare as prepare_corpus
    from ropewalk.errors import UserError, first_problem
    from ropewalk.system.cache_folder import cache_folder
    from ropewalk.training.optimizer import OptimizerConfig

    one_of("--how", how, ("frozen", "lora", "full"))
    if (recipe is None) == (not corpus):
        raise UserError("graft-train needs text: give --corpus PATH (may be repeated), or --recipe FILE.")
    import torch
    from pydantic import ValidationError

    from ropewalk.loading import is_native
    from ropewalk.training import distributed, execution
    from ropewalk.training import recipe as recipes
    from ropewalk.training.graft import memory_estimate, paired
    from ropewalk.training.graft.corpus_tokens import read_corpus, reader_of
    from ropewalk.training.graft.recipe import GraftConfig, GraftRecipe, rates

    if is_native(base):
        raise UserError(
            f"{base} is a native model, whose increments `ropewalk train` trains; name a Hugging Face model."
        )
    usual = rates(how, steps)  # type: ignore[arg-type]
    slow = base_lr or usual.lr
    times = (lr or usual.lr * usual.increments_lr) / slow
    try:
        source = (
            recipes.read_recipe(recipe).corpus
            if recipe is not None
            else CorpusConfig(
                sources=tuple(Source(path=path) for path in corpus or ()),
                validation_documents=validation_documents,
            )
        )
        law_config = {"parametrization": parametrization, "per": per, "lines": rows, "gap": gap}
        shape = {
            "base": base,
            "how": how,
            "context": context,
            "lora_rank": lora_rank,
            "increments": law_config,
        }
        train = {
            "steps": steps, "batch": batch, "micro": micro, "seed": seed, "device": device,
            "precision": precision,
            "compile": False, "validation_bytes": validation_tokens, "validate_every": max(1, steps // 10),
        }  # fmt: skip
        plan = GraftRecipe(
            corpus=source,
            model=GraftConfig.model_validate({**shape, "checkpointing": checkpointing, "shard": shard}),
            optimizer=OptimizerConfig(lr=slow, increments_lr=times, warmup=usual.warmup),
            train=recipes.TrainConfig.model_validate(train),
        )
    except ValidationError as error:
        raise UserError(
            f"these options do not hold: {first_problem(error)}; see: ropewalk graft-train --help"
        ) from error
    team = distributed.launched()
    machine, _ = execution.plan_execution(device, plan.train.precision, compile=False)
    compute = getattr(torch, machine.precision)
    estimate = memory_estimate.estimate(plan, compute=compute, ranks=team.ranks)
    if team.first:
        for row in estimate.told(team.ranks, "graft-train"):
            typer.echo(row, err=True)
    if dry_run:
        return
    estimate.require(
        machine, distributed.SINGLE_PROCESS, "lower --micro or --context, or give --checkpointing"
    )
    folder = out or Path("runs") / f"graft-{Path(base).name}"
    with distributed.one_at_a_time(cache_folder()):
        read = read_corpus(prepare_corpus(plan.corpus), reader_of(base))
    try:
        with watching(folder, steps) if team.first else nullcontext() as watch:
            report = paired.train(plan, read, folder, resume=resume, watch=watch)
    except KeyboardInterrupt:
        if team.first:
            typer.echo(f"ropewalk: stopped; the run is saved in {folder}. Go on with --resume.", err=True)
        raise typer.Exit(130) from None
    if team.first:
        for spacing in report.grafted.spacing:
            typer.echo(
                f"{spacing['line']}: mean increment {spacing['mean']:.3f}, spread {spacing['std']:.3f}"
            )
        typer.echo(report.told())
        typer.echo(f"report in {folder / 'report.json'}; increments in {folder / 'grafted' / 'model'}")


def probe(
    model: Model,
    text: Annotated[str | None, typer.Argument(help="The text; '-' or nothing reads standard input.")] = None,
    file: Annotated[Path | None, typer.Option(help="Read the text from a UTF-8 file.")] = None,
    window: Annotated[int, typer.Option(help="Tokens predicted after each gap.")] = 8,
    past: Annotated[int, typer.Option(help="Tokens before each gap.")] = 16,
    draws: Annotated[int, typer.Option(help="Backward passes with labels drawn from the model.")] = 8,
    lines: Annotated[str, typer.Option(help="one per layer, or one per key_head.")] = "one",
    stretch: Annotated[
        int, typer.Option(help="Also stretch and squeeze so many of the most sensitive gaps.")
    ] = 0,
    batch: Annotated[int, typer.Option(help="Stretches of text at a time.")] = 16,
    seed: Annotated[int, typer.Option(help="Which labels are drawn.")] = 0,
    graft: GraftFolder = None,
    json: Annotated[Path | None, typer.Option(help="Write the trace as JSON (or .json.gz).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the cost and stop.")] = False,
) -> None:
    """Probe a frozen, untouched model: how much its predictions depend on each gap between tokens.

    Nothing is trained. A large number says that moving the gap would change what the model predicts; it
    does not say which spacing the model would prefer. See docs/probe.md.

    Examples:

      ropewalk probe HuggingFaceTB/SmolLM2-135M --file letter.txt --json letter.json

      ropewalk probe ./my-llama "She moved from New York to Paris in May." --past 4 --window 3 --stretch 2
    """
    from ropewalk.cli import inputs
    from ropewalk.cli.options import one_of

    one_of("--lines", lines, ("one", "key_head"))
    inputs.writable(json=json)
    content = inputs.read(text, file)

    from rich.console import Console
    from rich.table import Table

    from ropewalk.loading import open_named
    from ropewalk.measure import probe as probing
    from ropewalk.measure.probe_host import host_with_rows
    from ropewalk.views import terminal

    found = open_named(model, graft=graft)
    host = host_with_rows(found.model, lines)  # type: ignore[arg-type]
    tokens = found.tokens(content)
    plan = probing.plan(
        tokens, window=window, past=past, draws=draws, batch=batch, context=host.context_length
    )
    typer.echo(plan.told(), err=True)
    if stretch:
        typer.echo(probing.cost(plan, min(stretch, len(plan.gaps)), len(host.rows)), err=True)
    if dry_run:
        return
    result = probing.probe(host, content, plan, tokens=tokens, seed=seed)
    console = Console()
    console.print(terminal.render(result.trace))
    relative = float((result.error / result.trace.values.clip(1e-30)).mean())
    console.print(f"standard error {relative:.0%} of the sensitivity on average", highlight=False)
    if stretch:
        most = result.trace.values.mean(0).argsort()[::-1][:stretch]
        rows = probing.stretches(host, plan, tokens, sorted(plan.gaps[i] for i in most))
        table = Table("gap before", "increment", "loss change (nats/token)", "divergence (nats)")
        pieces = found.reader.pieces(tokens.ids.tolist())
        for row in rows:
            name = f"{row.token} {pieces[row.token]!r}"
            table.add_row(name, f"x {row.increment:g}", f"{row.loss_change:+.4f}", f"{row.divergence:.4f}")
        console.print(table)
    if json is not None:
        result.trace.save(json)
        typer.echo(f"wrote {json}", err=True)


def vocabulary(
    model: Model,
    graft: GraftFolder = None,
    file: Annotated[Path | None, typer.Option(help="Average over this UTF-8 text.")] = None,
    trained_on: Annotated[
        Path | None, typer.Option(help="A text like the training's: tokens not in it are left out.")
    ] = None,
    movers: Annotated[int, typer.Option(help="How many of the biggest movers to list, up and down.")] = 8,
    json: Annotated[Path | None, typer.Option(help="Write the tables as JSON.")] = None,
) -> None:
    """Report increments over the vocabulary: by category, and the tokens that moved most.

    Shared increments are read for every token by itself; others are averaged over --file.

    Examples:

      ropewalk vocabulary shared

      ropewalk vocabulary ./my-llama --graft runs/graft-my-llama/grafted/model --file letter.txt
    """
    import json as files

    import numpy as np

    from ropewalk.analyses import vocabulary as report
    from ropewalk.cli import inputs
    from ropewalk.core.host import Host
    from ropewalk.errors import UserError
    from ropewalk.loading import open_named
    from ropewalk.measure import vocabulary as measured
    from ropewalk.system.files import write_atomically
    from ropewalk.system.text_files import read_text

    inputs.writable(json=json)
    found = open_named(model, graft=graft)
    host: Host = found.model
    if not hasattr(host, "rows"):
        raise UserError(f"{model} has no increments; give --graft FOLDER, or `ropewalk probe` it as it is.")
    if file is None:
        d = measured.every_token(host, found.vocabulary)
        counts = np.ones(found.vocabulary, np.int64)
    else:
        d, counts = measured.in_context(host, _windows(found, file, host.context_length), found.vocabulary)
    seen = None
    if trained_on is not None:
        ids = found.tokens(read_text(trained_on)).ids
        seen = np.bincount(ids, minlength=found.vocabulary)[: found.vocabulary]
    pieces = tuple(found.reader.pieces(list(range(found.vocabulary))))
    table = report.Vocabulary(np.arange(found.vocabulary), pieces, host.rows, d, counts, host.gap, seen)
    results = [report.by_category(table), report.movers(table, movers)]
    command = shlex.join(["ropewalk", *sys.argv[1:]])
    for result in results:
        _show(result)
    if json is not None:
        told = [result.by_command(command).to_json() for result in results]
        write_atomically(json, files.dumps(told, indent=1, ensure_ascii=False).encode())
        typer.echo(f"wrote {json}", err=True)


def export_llama(
    model: Annotated[
        str, typer.Argument(help="A native model folder, or a bundled name, with integer RoPE.")
    ],
    folder: Annotated[Path, typer.Argument(help="Where to write the LlamaForCausalLM folder.")],
) -> None:
    """Write a native model with integer RoPE as a plain Llama, which needs no ropewalk to load.

    Examples:

      ropewalk export-llama runs/unit/model my-llama
    """
    from ropewalk.hf import llama_export
    from ropewalk.native.checkpoint import load_decoder

    typer.echo(f"wrote {llama_export.export(load_decoder(model), folder)}")


def _windows(found: Any, file: Path, context: int) -> Any:
    import torch

    from ropewalk.system.text_files import read_text

    ids = torch.from_numpy(found.tokens(read_text(file)).ids)
    size = min(context, 512)
    return (part[None] for part in ids.split(size) if len(part) > 1)


def _show(result: Result) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*result.columns.values(), title=result.title)
    for row in result.rows:
        cells = [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row.values()]
        table.add_row(*cells)
    console = Console()
    console.print(table, markup=False)
    for note in result.notes:
        console.print(note, highlight=False)
