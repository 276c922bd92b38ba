"""Where text comes from, how it is prepared, and the windows a model reads."""

from ropewalk.corpus import windows
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
    "windows",
]
