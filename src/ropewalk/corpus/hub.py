"""Documents of a Hugging Face data set, streamed: nothing is downloaded ahead of its use.

The revision is resolved once, to a commit; that commit is what is read and is part of the fingerprint. Data
files on this machine (a folder as the data set, or `data_files` of the "json", "parquet" or "text" builder)
count by content. Needs the `datasets` library, which is loaded when a source is opened and not before.
"""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from ropewalk.corpus.config import Source
from ropewalk.corpus.files import digest
from ropewalk.corpus.formats import Document
from ropewalk.corpus.text_keys import choose_key, need_key, need_text
from ropewalk.errors import UserError

BUILDERS = ("json", "parquet", "text")


class Hub:
    """One split of a data set. How many bytes it will take is not known."""

    total: int | None = None
    estimate = 0

    def __init__(self, source: Source, root: Path, text_key: str | None) -> None:
        self.source, self.text_key = source, text_key
        self.name = " ".join(part for part in (source.dataset, source.name, source.split) if part)
        try:
            import datasets
        except ImportError as error:
            raise UserError(
                f"{self.name}: needs the datasets library; run: pip install 'ropewalk[data]'"
            ) from error
        dataset, files = str(source.dataset), source.data_files
        if dataset == "pandas":
            raise UserError(
                f"{self.name}: this builder unpickles its files, which can run anything; write parquet or json."
            )
        if dataset in BUILDERS and files:
            files = tuple(str(root / file) for file in files)
        elif (root / dataset).is_dir():
            dataset = str(root / dataset)
        try:
            self._builder: Any = datasets.load_dataset_builder(
                dataset, source.name, revision=source.revision, data_files=list(files) if files else None
            )
            self._rows: Any = self._builder.as_streaming_dataset(split=source.split)
        except Exception as error:  # the library lets through what its own dependencies raise
            raise UserError(
                f"{self.name}: the data set cannot be opened ({_first_line(error)}); check its name, "
                "configuration, split and revision, and the network."
            ) from error

    def fingerprint(self) -> Any:
        """What was asked for, and each data file: its content if it is here, else address and commit."""
        found = []
        for split, files in sorted((self._builder.config.data_files or {}).items()):
            here = all(Path(file).is_file() for file in files)
            origins = [list(origin) for origin in files.origin_metadata]
            found.append([split, [digest(Path(file)) for file in files] if here else [*files, *origins]])
        return [self.source.model_dump(mode="json"), found or self._builder.hash]

    def documents(self, count: Callable[[int], None]) -> Generator[Document, None, None]:
        """The documents in the order of the data set; bytes read are not known and not counted."""
        number, key = 0, None
        try:
            for number, row in enumerate(self._rows, 1):
                where = f"{self.name}, row {number}"
                key = key or choose_key(self.text_key, row, where)
                need_key(key, row, where)
                yield Document(where, need_text(row[key], key, where))
        except UserError:
            raise
        except Exception as error:  # as above: network, decompression, schema, ...
            raise UserError(
                f"{self.name}: the data set cannot be read after row {number} "
                f"({_first_line(error)}); try again."
            ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
