"""Boundaries: where they come from and what they refuse."""

import json
from pathlib import Path

import numpy as np
import pytest
from samples import CHINESE, ENGLISH, sample

from ropewalk.errors import UserError
from ropewalk.views import overlays
from ropewalk.views.overlays import Overlay


def test_words_become_boundaries_between_them() -> None:
    assert overlays.words(CHINESE, ["我们", "在", "图书馆", "里", "读书", "。"]).offsets == (6, 9, 18, 21, 27)


def test_words_of_another_text_are_refused() -> None:
    with pytest.raises(UserError, match="segment the same text"):
        overlays.words(CHINESE, ["我们"])


def test_a_boundary_inside_a_character_is_refused() -> None:
    with pytest.raises(UserError, match="where a character starts, got 1"):
        Overlay("wrong", CHINESE, (1,))


def test_entropy_peaks_stand_above_the_mean_and_their_neighbors() -> None:
    entropy = np.array([9.0, 1, 5, 1, 1, 2, 6, 1])
    trace = sample("abcdefgh", entropy=entropy)
    assert overlays.entropy(trace).offsets == (2, 6)


def test_entropy_peaks_need_entropies() -> None:
    with pytest.raises(UserError, match="without"):
        overlays.entropy(sample(entropy=np.empty(0)))


def test_boundaries_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "gold.json"
    path.write_text(json.dumps({"name": "gold", "offsets": [4, 8]}))
    assert overlays.read(path, ENGLISH) == Overlay("gold", ENGLISH, (4, 8))
    path.write_text(json.dumps({"words": ["我们", CHINESE[2:]]}))
    assert overlays.read(path, CHINESE).offsets == (6,)


@pytest.mark.parametrize("content", ["[]", "{}", "nonsense", '{"offsets": ["a"]}'])
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(UserError, match="expected boundaries in"):
        overlays.read(path, ENGLISH)
