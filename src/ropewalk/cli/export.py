"""ropewalk export-site and export-llama: a model for the browser, and as a plain Llama."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ropewalk.cli.options import ModelArgument, ModelOption
from ropewalk.cli.printing import echo


def export_site(
    folder: Annotated[Path, typer.Argument(help="The folder to write; a new one, or an earlier site.")],
    model: ModelOption = "per-layer",
) -> None:
    """Write the live page as a static site: the model runs in the visitor's browser, without Python.

    The runtime (onnxruntime-web) is fetched once, verified, and put into the folder; the site asks nothing of any
    other server.

    Examples:

      ropewalk export-site site && python -m http.server --directory site

      ropewalk export-site site --model runs/mine/checkpoints/step-00005000
    """
    from ropewalk.cli.native import native_model
    from ropewalk.export import site

    found = site(folder, native_model(model, "export-site"))
    echo(
        f"wrote {folder}; the model's increments there differ from PyTorch's by at most "
        f"{found['increments']:.1g}, its logits by {found['logits']:.1g}.",
        err=True,
    )


def export_llama(
    model: ModelArgument,
    folder: Annotated[Path, typer.Argument(help="The folder of the LlamaForCausalLM to write.")],
) -> None:
    """Write a native model with integer RoPE as a plain Llama, which loads without ropewalk.

    Examples:

      ropewalk export-llama runs/integer/model my-llama
    """
    from ropewalk.cli.native import native_model
    from ropewalk.hf import llama_export

    echo(f"wrote {llama_export.export(native_model(model, 'export-llama'), folder)}")
