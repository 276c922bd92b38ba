"""ropewalk import-published: a checkpoint of the published experiment as a native model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ropewalk.cli.printing import echo


def import_published(
    checkpoint: Annotated[Path, typer.Argument(help="A .pt file of the published experiment.")],
    folder: Annotated[Path, typer.Argument(help="The model folder to write.")],
    tokenizer: Annotated[
        Path | None, typer.Option(help="The model's tokenizer.json, where it does not read bytes (GPT-2's).")
    ] = None,
) -> None:
    """Turn a .pt checkpoint of the published experiment into a model folder, which every command opens.

    The file may hold tensors and plain values only: code in it is refused and never run.

    Examples:

      ropewalk import-published step_50000.pt models/published

      ropewalk show "New York" --model models/published

      ropewalk import-published gpt2_tokens.pt models/bpe --tokenizer tokenizer.json
    """
    from ropewalk.errors import UserError
    from ropewalk.native.checkpoint import save_decoder
    from ropewalk.native.published_checkpoint import read_published
    from ropewalk.tokens.tokenizer_file import read_tokenizer

    if folder.exists():
        raise UserError(f"{folder} exists already; name a new folder.")
    decoder = read_published(checkpoint)
    if tokenizer is not None:
        decoder.own_tokenizer = read_tokenizer(tokenizer)
        if decoder.own_tokenizer.vocab_size > decoder.vocab_size:
            raise UserError(
                f"{tokenizer} has {decoder.own_tokenizer.vocab_size} tokens and the model {decoder.vocab_size}; name the "
                "tokenizer it was trained with."
            )
    elif decoder.tokenizer is None:
        raise UserError(
            f"{checkpoint} has {decoder.vocab_size} tokens, so it does not read bytes; add --tokenizer tokenizer.json."
        )
    save_decoder(folder, decoder, decoder.provenance)
    echo(f'wrote {folder}; look at it: ropewalk show "New York" --model {folder}')
