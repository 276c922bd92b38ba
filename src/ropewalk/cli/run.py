"""Runs one command: prints errors as one sentence on standard error and sets the exit status.

Status 1: wrong input, or the machine cannot do it; 2: the command line is wrong; 130: interrupted. Any other exception
is a defect of ropewalk and keeps its traceback.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sys
from typing import Any

import typer

from ropewalk.cli.commands import command_group
from ropewalk.cli.printing import printable
from ropewalk.errors import UserError

PACKAGES = {
    "torch": "torch", "threadpoolctl": "torch", "zstandard": "train", "transformers": "hf", "peft": "hf",
    "accelerate": "hf", "gguf": "gguf", "matplotlib": "pictures", "PIL": "pictures", "notojp_matplotlib": "pictures",
    "starlette": "view", "uvicorn": "view", "pyarrow": "data", "datasets": "data", "pandas": "data", "jieba": "zh",
    "scipy": "study", "tensorboard": "board", "onnx": "export", "onnxscript": "export", "onnxruntime": "export",
}  # fmt: skip
"""The extra that installs each optional package."""
EXTRAS = {
    "train": "train", "prepare": "train", "token-table": "train", "demo": "train,pictures", "graft-train": "hf", "probe": "hf",
    "verify": "hf",     "vocabulary": "hf", "export-llama": "hf", "graft-study": "hf", "view": "view", "study": "study",
    "measure": "study", "export-site": "export",
}  # fmt: skip
"""The extra that a command asks for when PyTorch is missing, so that one install is enough."""


NARROWEST = 24
"""Columns of a line in any terminal; a narrower one wraps it."""


def run() -> None:
    """Run the command in `sys.argv` and exit."""
    from ropewalk.system import allocator

    _prepare_output()
    os.environ["MPLBACKEND"] = "agg"  # figures are written to files, never shown in a window
    logging.getLogger("matplotlib.font_manager").setLevel(
        logging.ERROR
    )  # it warns of every font without a bold face
    allocator.keep_freed_memory()
    group = command_group()
    try:
        with group.make_context("ropewalk", sys.argv[1:]) as context:
            group.invoke(context)
        sys.stdout.flush()
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
    except UserError as error:
        _stop(str(error), 1)
    except KeyboardInterrupt:
        _stop("interrupted; no partial file was left behind.", 130)
    except BrokenPipeError:
        _discard_output()
        sys.exit(1)
    except Exception as error:
        _explain(error)
        raise
    sys.exit(0)


def _prepare_output() -> None:
    """Streams that a parent has closed lead nowhere; characters that a console does not know are question marks; a
    terminal of no or few columns gets lines of `NARROWEST`."""
    while (
        free := os.open(os.devnull, os.O_RDWR)
    ) <= 2:  # else the next file that is opened would be standard output
        pass
    os.close(free)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="replace")
    columns = shutil.get_terminal_size().columns
    if columns < NARROWEST or os.environ.get("COLUMNS") == "0":
        os.environ["COLUMNS"] = str(max(columns, NARROWEST))


def _discard_output() -> None:
    """What is left to print goes nowhere, so that ending does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explain(error: Exception) -> None:
    """Print one sentence and exit for errors whose cause is known; return for all others."""
    from ropewalk.system.available_memory import out_of_memory_message

    if hasattr(error, "format_message"):  # raised by the argument parser
        _usage_error(error.format_message(), getattr(error, "ctx", None))
    if isinstance(error, ModuleNotFoundError) and (sentence := missing_package(error.name, sys.argv)):
        _stop(sentence, 1)
    if (sentence := out_of_memory_message(error)) is not None:
        _stop(sentence, 1)
    if isinstance(error, OSError) and error.filename is not None:
        _stop(f"cannot use {error.filename}: {error.strerror}; check the name and its permissions.", 1)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        _discard_output()
        _stop(f"cannot write the output: {error.strerror}; free some space, or write elsewhere.", 1)
    variables = [
        name for name in ("TORCH_LOGS", "OMP_NUM_THREADS") if name in str(error) and name in os.environ
    ]
    if variables:
        first = str(error).strip().partition("\n")[0]
        _stop(f"the environment variable {variables[0]} is wrong ({first}); unset it and try again.", 1)


def missing_package(name: str | None, words: list[str]) -> str | None:
    """Which extra to install for a package that is missing; None for a package that is not ours to install."""
    package = (name or "").partition(".")[0]
    extra = PACKAGES.get(package)
    if extra in ("torch", "hf"):
        extra = next((EXTRAS[word] for word in words[1:2] if word in EXTRAS), extra)
    return f"{package} is not installed; run: pip install 'ropewalk[{extra}]'" if extra else None


def _usage_error(message: str, context: Any) -> None:
    words = context.command_path if context is not None else "ropewalk"
    _stop(f"{message.rstrip('.')}; see: {words} --help", 2)


def _stop(sentence: str, status: int) -> None:
    if os.environ.get("LOCAL_RANK", "0") == "0":  # one message per machine
        print(f"ropewalk: {printable(sentence)}", file=sys.stderr)
    sys.exit(status)
