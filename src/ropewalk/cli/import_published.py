"""ropewalk import-published: a checkpoint of the published experiment as a native model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ropewalk.cli.printing import echo


def import_published(
    checkpoint: Annotated[Path, typer.Argument(help="A .pt file of the published experiment.")],
    folder: Annotated[Path, typer.Argument(help="The model folder to write.")],
) -> None:
    """Turn a .pt checkpoint of the published experiment into a model folder, which every command opens.

    The file may hold tensors and plain values only: code in it is refused and never run.

    Examples:

      ropewalk import-published step_50000.pt models/published

      ropewalk show "New York" --model models/published
    """
    from ropewalk.errors import UserError
    from ropewalk.native.checkpoint import save_decoder
    from ropewalk.native.published_checkpoint import read_published

    if folder.exists():
        raise UserError(f"{folder} exists already; name a new folder.")
    decoder = read_published(checkpoint)
    save_decoder(folder, decoder, decoder.provenance)
    echo(f'wrote {folder}; look at it: ropewalk show "New York" --model {folder}')
