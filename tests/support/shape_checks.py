"""Checks at run time that tensors have the shapes and dtypes that signatures name, by jaxtyping and beartype.

The signatures of `ropewalk` are read by people and by type checkers only; inside `shapes_checked` every call of a function
with tensor dimensions is checked: each dimension has one size throughout a call.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, get_type_hints

import jaxtyping
import torch
from beartype import BeartypeConf, beartype

NAMES = {name: getattr(jaxtyping, name) for name in ("Float", "Int", "Bool")}
CONF = BeartypeConf(is_pep484_tower=True)  # an int where a float is expected


def names_dimensions(hint: Any) -> bool:
    """Whether a hint is one of jaxtyping's, such as Float[Tensor, "B T"]."""
    return isinstance(hint, str) and "[Tensor, " in hint and any(f"{name}[" in hint for name in NAMES)


def with_dimensions(function: Callable[..., Any]) -> bool:
    """Whether a function's signature names tensor dimensions."""
    return any(map(names_dimensions, function.__annotations__.values()))


def checked(function: Any) -> Any:
    """The function, checking what it takes and returns. Hints that only type checkers can read are left out."""
    plain = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    plain.__kwdefaults__, plain.__qualname__ = function.__kwdefaults__, function.__qualname__
    for name, hint in function.__annotations__.items():
        if names_dimensions(hint):
            holder = types.SimpleNamespace(__annotations__={name: hint})
            plain.__annotations__[name] = get_type_hints(holder, function.__globals__ | NAMES)[name]
    check = jaxtyping.jaxtyped(typechecker=beartype(conf=CONF))(plain)

    @functools.wraps(function)
    def guard(*arguments: Any, **named: Any) -> Any:
        """The check, and the function itself while torch compiles it."""
        return (function if torch.compiler.is_compiling() else check)(*arguments, **named)

    return guard


def places(module: types.ModuleType) -> Iterator[tuple[Any, str, Any]]:
    """(owner, name, function) of each function and method of a module whose signature names dimensions."""
    for name, found in list(vars(module).items()):
        if getattr(found, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(found) and with_dimensions(found):
            yield module, name, found
        elif inspect.isclass(found):
            for own, method in list(vars(found).items()):
                if inspect.isfunction(method) and with_dimensions(method):
                    yield found, own, method


@contextmanager
def shapes_checked(*modules: types.ModuleType) -> Iterator[list[str]]:
    """Checks every call of the modules' functions, wherever they were imported; yields the functions' names."""
    patched, names = [], []
    users = [module for name, module in list(sys.modules.items()) if name.split(".")[0] == "ropewalk"]
    try:
        for module in modules:
            for owner, _, function in list(places(module)):
                guard = checked(function)
                names.append(f"{module.__name__}.{function.__qualname__}")
                for user in [owner] if inspect.isclass(owner) else users:
                    for own, value in list(vars(user).items()):
                        if value is function:
                            setattr(user, own, guard)
                            patched.append((user, own, function))
        yield names
    finally:
        for owner, name, function in patched:
            setattr(owner, name, function)
