"""A host's gaps at the word boundaries of segmented sentences, development and test."""

from __future__ import annotations

import numpy as np

from ropewalk.analyses import gaps
from ropewalk.analyses.boundaries import Part
from ropewalk.analyses.gold import Gold
from ropewalk.core.host import Host
from ropewalk.measure.capture import trace
from ropewalk.measure.random_networks import random_networks

Halves = tuple[np.ndarray | None, np.ndarray | None]


def halves_of(dev: Gold, test: Gold | None) -> Halves:
    """The sentences of each part; None for all of them, where there is a test file."""
    return dev.halves() if test is None else (None, None)


def read_part(host: Host, dev: Gold, test: Gold | None, *, with_random: bool = True) -> Part:
    """The gaps of both parts, with random networks if `with_random`. Without a test file `dev` is split by the hash of its
    sentences."""
    own, scored = halves_of(dev, test)
    if test is not None:
        return Part(_read(host, dev, own, with_random), _read(host, test, scored, with_random))
    read = trace(host, dev.text, start="none")
    random = random_networks(host, dev.text, start="none") if with_random else None
    return Part(gaps.gaps(read, dev, own, random), gaps.gaps(read, dev, scored, random))


def _read(host: Host, gold: Gold, half: np.ndarray | None, with_random: bool) -> gaps.Gaps:
    random = random_networks(host, gold.text, start="none") if with_random else None
    return gaps.gaps(trace(host, gold.text, start="none"), gold, half, random)
