"""Where text comes from and how it is prepared, without torch; `ropewalk.corpus.windows` are what a model reads."""

from ropewalk.corpus.config import CorpusConfig, Source
from ropewalk.corpus.lookup import LookupConfig
from ropewalk.corpus.planted import PlantedConfig
from ropewalk.corpus.prepare import prepare
from ropewalk.corpus.store import Corpus

__all__ = [
    "Corpus",
    "CorpusConfig",
    "LookupConfig",
    "PlantedConfig",
    "Source",
    "prepare",
]
