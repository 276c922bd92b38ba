"""ropewalk generate, info and freeze: what a model writes, what it is, and its increments as a table."""

from __future__ import annotations

import json as json_library
from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[str, typer.Option(help="A bundled model, or a model folder.")]


def generate(
    prompt: Annotated[
        str | None, typer.Argument(help="How the text begins; '-' reads standard input.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Read the prompt from a UTF-8 file.")] = None,
    model: Model = "per-layer",
    length: Annotated[int, typer.Option(help="How many bytes to add.")] = 200,
    temperature: Annotated[float, typer.Option(help="0 is greedy, 1 the model's own spread.")] = 0.8,
    top_p: Annotated[float, typer.Option(help="Keep the likeliest symbols that together reach this.")] = 0.95,
    seed: Annotated[int, typer.Option(help="The same seed gives the same text.")] = 0,
) -> None:
    """Continue a text with a model.

    Examples:

      ropewalk generate "The history of the city" --length 300

      ropewalk generate "北京" --temperature 0
    """
    import codecs

    from ropewalk.cli import inputs
    from ropewalk.native.checkpoint import load_decoder
    from ropewalk.native.generate import stream
    from ropewalk.tokens.utf8_bytes import END, encode

    begin = inputs.read(prompt, file)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    steps = stream(
        load_decoder(model),
        [[END, *encode(begin)]],
        length=length,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
    )
    for i, symbol in enumerate(steps):
        if i == 0:
            typer.echo(begin, nl=False)
        if int(symbol) == END:
            break
        written = decoder.decode(bytes([int(symbol)]))
        typer.echo("".join(c if c.isprintable() or c in "\n\t" else "�" for c in written), nl=False)
    typer.echo(decoder.decode(b"", final=True))


def info(
    model: Annotated[str | None, typer.Argument(help="A bundled model, or a model folder.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say what a model is and where it comes from; without a name, list the bundled models.

    Examples:

      ropewalk info

      ropewalk info per-layer

      ropewalk info runs/mine/model --json
    """
    from rich.console import Console
    from rich.table import Table

    from ropewalk.native import checkpoint, pretrained

    console = Console()
    if model is None:
        for name in pretrained.model_names():
            console.print(name)
        return
    config = checkpoint.read_config(pretrained.find_model(model))
    decoder = checkpoint.load_decoder(model)
    config["parameters"] = sum(p.numel() for p in decoder.parameters())
    if json:
        typer.echo(json_library.dumps(config, indent=1))
        return
    shape, parametrization, origin = config["model"], config["model"]["increments"], config["provenance"]
    table = Table(show_header=False, title=f"{decoder.provenance['name']}")
    walks = "all layers together" if decoder.config.increments.shared else "each layer its own"
    rows = {
        "parameters": f"{config['parameters']:,}",
        "shape": f"{shape['width']} wide, {shape['heads']} heads, {shape['layers']} layers, context {shape['context']}",
        "increments": f"{parametrization['parametrization']}, {walks}, gap {parametrization['gap']}",
        "encoding": f"{shape['encoding']}, theta {shape['theta']:g}",
        "trained": f"{origin['step']:,} steps" if "step" in origin else "unknown",
        "held-out loss": f"{origin['validation']:.4f} nats per byte"
        if origin.get("validation")
        else "unknown",
        "weights": f"sha256 {config['weights']['sha256'][:16]}…, {config['weights']['bytes']:,} bytes",
    }
    for key, value in rows.items():
        table.add_row(key, value)
    console.print(table)


def freeze(
    model: Annotated[str, typer.Argument(help="The model whose increments to take.")],
    out: Annotated[Path, typer.Argument(help="The table to write, a .safetensors file.")],
    recipe: Annotated[Path, typer.Option(help="The recipe whose held-out text is read.")],
    set: Annotated[list[str] | None, typer.Option("--set", help="Override one key of the recipe.")] = None,
    tokens: Annotated[int, typer.Option(help="How many held-out tokens to read.")] = 200_000,
) -> None:
    """Turn a trained model's increments into a table per token, for the frozen parametrization.

    A token's entry is the mean of its increments over held-out text; tokens that never occur get 1.

    Examples:

      ropewalk freeze shared table.safetensors --recipe recipes/cpu.toml

      ropewalk train recipes/cpu.toml --set model.increments.parametrization=frozen --set model.increments.per=shared --set model.increments.table=table.safetensors
    """
    from ropewalk.corpus import prepare
    from ropewalk.measure.token_table import save_table
    from ropewalk.native.checkpoint import load_decoder
    from ropewalk.training import recipe as recipes

    counted = save_table(
        load_decoder(model), prepare(recipes.read_recipe(recipe, set).corpus), out, tokens=tokens
    )
    typer.echo(f"wrote {out}: {counted} different tokens were seen; the others stay at 1.")
