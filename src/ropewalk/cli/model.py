"""ropewalk generate and info: what a model writes, and what it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ropewalk.cli.options import ModelOption, ReadingOptions, TextInput, option_groups
from ropewalk.system.seeds import MAX_SEED

if TYPE_CHECKING:
    from ropewalk.native.config import DecoderConfig


@dataclass(frozen=True)
class SamplingOptions:
    """How the next token is drawn."""

    length: Annotated[
        int, typer.Option(help="How many tokens to add; a token of a native model is a byte.")
    ] = 200
    temperature: Annotated[
        float,
        typer.Option(help="0 always takes the likeliest token; 1 samples from the model's distribution."),
    ] = 0.8
    top_p: Annotated[
        float, typer.Option(help="Sample from the likeliest tokens whose probabilities reach this sum.")
    ] = 0.95
    seed: Annotated[int, typer.Option(help="The same seed gives the same text.", min=0, max=MAX_SEED)] = 0


@option_groups
def generate(
    source: TextInput, sampling: SamplingOptions, reading: ReadingOptions, model: ModelOption = "per-layer"
) -> None:
    """Continue a text with a model.

    Examples:

      ropewalk generate "The history of the city" --length 300

      ropewalk generate "北京" --temperature 0

      ropewalk generate "What is a hawser?" --model HuggingFaceTB/SmolLM2-135M-Instruct --chat
    """
    import dataclasses

    from ropewalk.loading import load
    from ropewalk.measure.generation import generate_text

    content = source.read()
    host = load(model)
    text, tokens = reading.read(host, content)
    parts = generate_text(host, tokens, **dataclasses.asdict(sampling))
    for number, part in enumerate(parts):
        if number == 0:
            typer.echo(text, nl=False)
        typer.echo(
            "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in part),
            nl=False,
        )
    typer.echo("")


def info(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A model: a bundled name, a folder, or a Hugging Face name; the bundled ones without it."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say what a model is and where it comes from; without a name, list the bundled models.

    Examples:

      ropewalk info

      ropewalk info per-layer

      ropewalk info runs/mine/model --json

      ropewalk info HuggingFaceTB/SmolLM2-135M
    """
    import json as json_library

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ropewalk.loading import kind_of
    from ropewalk.native import model_folder, pretrained

    if model is None:
        for name in pretrained.model_names():
            typer.echo(name)
        return
    if kind_of(model) != "native":
        return _print_described(model, json)
    folder = pretrained.find_model(model)
    config = model_folder.read_config(folder)
    weights = folder / model_folder.WEIGHTS
    header = model_folder.read_header(weights)
    shape = model_folder.decoder_config(config, folder, header)
    config["parameters"] = model_folder.count_parameters(weights, header)
    if json:
        typer.echo(json_library.dumps(config, indent=1))
        return
    table = Table(show_header=False, title=Text(folder.resolve().name))
    for key, value in _description(shape, config).items():
        table.add_row(key, Text(value))
    Console().print(table)


def _print_described(model: str, json: bool) -> None:
    """A Hugging Face model, or increments on one."""
    import json as json_library

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ropewalk.hf.describe import describe

    found = describe(model)
    if json:
        typer.echo(json_library.dumps(found, indent=1, ensure_ascii=False))
        return
    table = Table(show_header=False, title=Text(model))
    for key, value in found.items():
        table.add_row(key, Text(f"{value:,}" if isinstance(value, int) else str(value)))
    Console().print(table)


def _description(shape: DecoderConfig, config: dict[str, Any]) -> dict[str, str]:
    """A model in a few lines, by what each says. Unknown is what the provenance, which anyone may write, does not tell."""
    origin, weights = config["provenance"], config["weights"]
    increments = shape.increments
    rows = "one row for all layers" if increments.shared else "one row per layer"
    heads = " and head" if increments.per_head else ""
    steps, loss, unit = (
        origin.get("step"),
        origin.get("validation"),
        "token" if "tokenizer" in config else "byte",
    )
    return {
        "parameters": f"{config['parameters']:,}",
        "shape": f"hidden size {shape.hidden_size}, {shape.num_heads} heads, {shape.num_layers} layers, "
        f"context length {shape.context_length}",
        "increments": f"{increments.parametrization}, {rows}{heads}, gap {increments.gap}",
        "tokens": f"{shape.vocab_size:,}, of its tokenizer.json"
        if unit == "token"
        else f"{shape.vocab_size:,}",
        "encoding": f"{shape.encoding}, theta {shape.rope_theta:g}",
        "trained": f"{steps:,} steps" if isinstance(steps, int) else "unknown",
        "held-out loss": f"{loss:.4f} nats per {unit}" if isinstance(loss, int | float) else "unknown",
        "weights": f"sha256 {weights['sha256'][:16]}…, {weights['bytes']:,} bytes",
    }
