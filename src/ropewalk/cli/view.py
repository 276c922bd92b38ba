"""ropewalk view: the live page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

SENTENCE = "The rope maker walked backwards, and the rope grew longer."


def view(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Bundled names, folders or Hugging Face names; 'per-layer' when left out."),
    ] = None,
    text: Annotated[str, typer.Option(help="The text to begin with.")] = SENTENCE,
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Type a text in a local page and see the layers change; drag a gap, and see the effect on the predictions.

    Examples:

      ropewalk view

      ropewalk view per-layer shared --text "北京大学的学生在图书馆。"

      ropewalk view runs/mine/checkpoints/step-00005000 --no-browser --port 8700
    """
    from ropewalk.live import serve
    from ropewalk.live.answers import Model
    from ropewalk.loading import load

    loaded: dict[str, Model] = {}
    for given in models or ["per-layer"]:
        name = Path(given).resolve().name if Path(given).is_dir() else given
        loaded[_unused(name, loaded)] = Model(load(given))
    serve(loaded, text or SENTENCE, port=port, browser=browser)


def _unused(name: str, taken: Mapping[str, object]) -> str:
    number = 2
    unique = name
    while unique in taken:
        unique = f"{name} ({number})"
        number += 1
    return unique
