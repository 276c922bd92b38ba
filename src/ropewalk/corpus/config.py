"""What a training corpus is made of: its sources, its size and what is held out.

Both classes are frozen pydantic models that refuse unknown keys, so that a recipe's tables read straight into
them. Nothing here opens a file; `ropewalk.corpus.prepare` does, and relative paths start at
`CorpusConfig.root`.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ropewalk.corpus.lookup import LookupConfig
from ropewalk.corpus.planted import PlantedConfig
from ropewalk.system.seeds import MAX_SEED

OPTIONS = {
    "path": set[str](),
    "dataset": {"name", "split", "revision", "data_files"},
    "python": set[str](),
    "planted": {"planted", "seed"},
    "lookup": {"lookup", "seed"},
}


class Source(BaseModel):
    """One place documents come from; which key is given says which kind it is.

    path     a file, a folder read recursively in sorted order, or a pattern such as "texts/*.jsonl"
    dataset  a Hugging Face data set, with its `name` (configuration), `split`, `revision` and `data_files`;
             a folder of data files, or "json", "parquet" or "text" with data_files, is read from this machine
    builtin  "python", the standard library's own source files; or, with the `seed` of their documents,
             "planted", the made-up language of ropewalk.corpus.planted, with its configuration `planted`, and
             "lookup", the pairs and questions of ropewalk.corpus.lookup, with its configuration `lookup`
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path | None = None
    dataset: str | None = None
    name: str | None = None
    split: str = "train"
    revision: str | None = None
    data_files: tuple[str, ...] | None = None
    builtin: Literal["python", "planted", "lookup"] | None = None
    planted: PlantedConfig | None = None
    lookup: LookupConfig | None = None
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [key for key in ("path", "dataset", "builtin") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(
                "a source has exactly one of the keys path, dataset and builtin; "
                f"this one has {' and '.join(given) or 'none of them'}"
            )
        what = self.builtin or given[0]
        foreign = sorted(
            name
            for name, field in type(self).model_fields.items()
            if name not in {given[0], *OPTIONS[what]} and getattr(self, name) != field.default
        )
        if foreign:
            raise ValueError(f"a {what} source does not take {', '.join(foreign)}")
        return self

    @property
    def kind(self) -> Literal["files", "huggingface", "python", "planted", "lookup"]:
        """Which kind of source it is."""
        if self.path is not None:
            return "files"
        return "huggingface" if self.dataset is not None else self.builtin or "python"


class CorpusConfig(BaseModel):
    """Sources interleaved by document; the first `validation_documents` documents are held out.

    documents             at most so many documents in all, validation included (None: every one)
    validation_documents  how many distinct documents are held out
    overlap               a training document that repeats a held-out one: "error", or "drop" it and count it
    text_key              the key (jsonl) or column (csv, parquet, Hugging Face) of a document's text (None: the obvious one)
    tokenizer             a tokenizer.json, whose tokens a native model is trained on (None: bytes)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    root: Path | None = None
    documents: Annotated[int, Field(ge=2)] | None = None
    validation_documents: Annotated[int, Field(ge=1)] = 200
    overlap: Literal["error", "drop"] = "error"
    text_key: str | None = None
    tokenizer: Path | None = None
