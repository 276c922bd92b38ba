"""Functions compiled by torch that continue without compilation where the compiler fails.

A compiler is a program of its own: it may be missing, killed, out of disk or memory, or find a damaged file. None of
that stops a training run: the call is tried once more with an empty cache, then done eagerly, with one sentence.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from ropewalk.training.compiler_cache import open_cache


class Compiled:
    """A function as torch compiles it; the function itself from the first failure of the compiler on.

    Backward passes are compiled together with forward passes, so that a failure shows in the call. Errors of the function
    itself are raised as they are.
    """

    def __init__(self, function: Callable[..., Any], mode: str = "default") -> None:
        self.function, self.mode = function, mode
        self.eager = False
        self._retried = False
        self._compiled = self._compile()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.eager:
            return self.function(*args, **kwargs)
        try:
            return self._compiled(*args, **kwargs)
        except Exception as error:
            if not is_compiler_error(error):
                raise
            return self._again(error, args, kwargs)

    def _again(self, error: Exception, args: Any, kwargs: Any) -> Any:
        store = open_cache()
        if store is not None and not self._retried:
            self._retried = True
            store.restart()
            torch._dynamo.reset()
            self._compiled = self._compile()
            return self(*args, **kwargs)
        if store is not None:
            store.sound = False
        self.eager = True
        print(
            f"ropewalk: running without compilation, about a sixth slower: {reason(error)}", file=sys.stderr
        )
        return self.function(*args, **kwargs)

    def _compile(self) -> Callable[..., Any]:
        return torch.compile(self.function, fullgraph=True, dynamic=False, mode=self.mode)


def compiled(function: Callable[..., Any], mode: str = "default") -> Compiled:
    """A function compiled for the shapes that it is called with. mode: as torch.compile takes it."""
    import torch._functorch.config as functorch

    open_cache()
    if hasattr(
        functorch, "force_non_lazy_backward_lowering"
    ):  # torch 2.9 compiles backward passes when they come
        functorch.force_non_lazy_backward_lowering = True
    # one function serves every model of a process; past the limit, 8, torch refuses to compile it for another
    torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
    return Compiled(function, mode)


def is_compiler_error(error: BaseException) -> bool:
    """Whether an exception comes from the compiler or its files, not from the function or for want of memory."""
    return isinstance(
        error, torch._dynamo.exc.TorchDynamoException | OSError | ImportError | subprocess.SubprocessError
    )


def reason(error: BaseException) -> str:
    """A compiler's error in one sentence."""
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line and not line.endswith("raised:")]
    first = lines[0][:200] if lines else type(error).__name__
    return f"torch could not compile ({first}); install a C++ compiler and Python's headers"


@cache
def compiler_problem() -> str | None:
    """None when torch can compile for this CPU, else one sentence; found out by compiling something tiny."""
    open_cache()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch's own imports complain about is no reason
            torch.compile(lambda x: x.sin() + x, fullgraph=True)(torch.ones(8))
    except Exception as error:  # the compiler wraps whatever its C++ toolchain does in many kinds of errors
        return reason(error)
    return None
