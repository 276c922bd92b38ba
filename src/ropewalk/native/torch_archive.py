"""Reads a file of `torch.save` without unpickling it: tensors and plain values, and nothing else.

Such a file is a zip archive of one pickle and the bytes of each storage. The pickle is a program; here it is never run.
Its instructions are listed by `pickletools`, and the few that build dictionaries, lists, tuples, strings, numbers and
tensors are followed. Any other instruction or name raises UserError, and so does a tensor that reaches beyond its storage.
"""

from __future__ import annotations

import math
import pickletools
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ropewalk.errors import UserError
from ropewalk.system.available_memory import require_memory
from ropewalk.system.files import refuse_pipe

DTYPES = {
    "torch FloatStorage": torch.float32,
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
    "torch DoubleStorage": torch.float64,
}
TENSOR, DICTIONARY = "torch._utils _rebuild_tensor_v2", "collections OrderedDict"
LARGEST_PICKLE = 2_000_000
PUSHED = {"BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True)
class _Name:
    """A name that the pickle mentions: "module name"."""

    name: str


class _Refused(Exception):
    """What is no archive of tensors and plain values."""


def read_archive(path: Path) -> Any:
    """The object in the file. UserError for a file that holds anything but tensors and plain values."""
    refuse_pipe(path)
    try:
        size = path.stat().st_size
        require_memory(3 * size, f"the checkpoint {path}", "close other programs")
        with zipfile.ZipFile(path) as archive:
            return _Reader(archive, size).read()
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; name a .pt file.") from error
    except (_Refused, OSError, zipfile.BadZipFile, ValueError, TypeError, KeyError, IndexError, AttributeError,
            RuntimeError, NotImplementedError, struct.error, OverflowError) as error:  # fmt: skip
        raise UserError(
            f"{path} is not a checkpoint of tensors and plain values; name a .pt file that torch.save wrote of those alone."
        ) from error


class _Reader:
    """Follows the instructions of one archive's pickle."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.file_size > size for entry in entries):
            raise _Refused
        (self.root,) = (
            entry.filename.removesuffix("data.pkl")
            for entry in entries
            if entry.filename.endswith("/data.pkl")
        )
        self.archive, self.unread = archive, size
        self.storages: dict[str, Tensor] = {}
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def read(self) -> Any:
        """The object that the pickle describes."""
        pickled = self.archive.getinfo(f"{self.root}data.pkl")
        if pickled.file_size > LARGEST_PICKLE or self._text("byteorder", "little") != "little":
            raise _Refused
        for operation, argument, _ in pickletools.genops(self.archive.read(pickled)):
            if operation.name == "STOP":
                (made,) = self.stack
                return made
            self._follow(operation.name, argument)
        raise _Refused

    def _follow(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in PUSHED:
            stack.append(argument)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name == "GLOBAL":
            stack.append(_Name(argument))
        elif name == "MARK":
            self.marks.append(len(stack))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name in TUPLES:
            stack.append(tuple(self._popped(len(stack) - TUPLES[name])))
        elif name == "TUPLE":
            stack.append(tuple(self._popped(self.marks.pop())))
        elif name in ("SETITEM", "SETITEMS"):
            items = self._popped(self.marks.pop() if name == "SETITEMS" else len(stack) - 2)
            self._last(dict).update(zip(items[::2], items[1::2], strict=True))
        elif name in ("APPEND", "APPENDS"):
            items = self._popped(self.marks.pop() if name == "APPENDS" else len(stack) - 1)
            self._last(list).extend(items)
        elif name == "BINPERSID":
            stack.append(self._storage(*stack.pop()))
        elif name == "REDUCE":
            arguments, what = stack.pop(), stack.pop()
            stack.append(self._made(what, arguments))
        elif name == "BUILD":  # the attributes of a dictionary, such as the versions in a state_dict
            stack.pop()
            self._last(dict)
        elif name != "PROTO":
            raise _Refused

    def _popped(self, start: int) -> list[Any]:
        if start < 0:
            raise _Refused
        taken = self.stack[start:]
        del self.stack[start:]
        return taken

    def _last(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise _Refused
        return self.stack[-1]

    def _made(self, what: Any, arguments: tuple[Any, ...]) -> Any:
        if what == _Name(DICTIONARY) and arguments == ():
            return {}
        if what != _Name(TENSOR):
            raise _Refused
        storage, offset, shape, strides = arguments[:4]
        return _tensor(storage, offset, shape, strides)

    def _storage(self, kind: str, dtype: Any, key: str, place: str, count: int) -> Tensor:
        """The numbers of one storage, one-dimensional; all storages together are no larger than the file."""
        if key in self.storages:
            return self.storages[key]
        entry = self.archive.getinfo(f"{self.root}data/{key}")
        found = DTYPES[dtype.name]
        self.unread -= entry.file_size
        if kind != "storage" or entry.file_size != count * found.itemsize or self.unread < 0:
            raise _Refused
        data = bytearray(self.archive.read(entry))
        numbers = torch.frombuffer(data, dtype=found) if data else torch.empty(0, dtype=found)
        return self.storages.setdefault(key, numbers)

    def _text(self, name: str, default: str) -> str:
        """A small text file of the archive."""
        try:
            return self.archive.read(f"{self.root}{name}").decode()
        except KeyError:
            return default


def _tensor(storage: Tensor, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Tensor:
    """The part of a storage that a contiguous tensor covers."""
    if not all(isinstance(n, int) and n >= 0 for n in (offset, *shape, *strides)):
        raise _Refused
    count = math.prod(shape)
    own = tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
    plain = all(size == 1 or stride == step for size, stride, step in zip(shape, strides, own, strict=True))
    if not plain or offset + count > len(storage):
        raise _Refused
    return storage[offset : offset + count].reshape(shape)
