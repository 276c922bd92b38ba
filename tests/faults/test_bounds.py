"""Sizes that a file claims are checked before anything is allocated, and weights that a config asks for must be there."""

from __future__ import annotations

import json
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
from families import host

from ropewalk.errors import UserError
from ropewalk.hf.loading import MAX_LAYERS, open_config, open_model
from ropewalk.native import checkpoint, model_folder
from ropewalk.native.decoder import Decoder
from ropewalk.native.numpy_checkpoint import read_numpy_decoder
from ropewalk.training.graft.memory_estimate import estimate
from ropewalk.training.graft.recipe import GraftRecipe
from ropewalk.training.recipe import Recipe


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Python may take 100 MB meanwhile."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


def edit(folder: Path, **changes: Any) -> Path:
    config = json.loads((folder / "config.json").read_text())
    section = config.get("model", config)
    section.update(changes)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def native(tmp_path: Path) -> Path:
    checkpoint.save_decoder(tmp_path / "m", Decoder(tiny.config(), seed=0), {})
    return tmp_path / "m"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hosts") / "llama"
    host("llama").save_pretrained(folder)
    return folder


@pytest.fixture
def llama(saved: Path, tmp_path: Path) -> Path:
    for path in saved.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


HUGE = [
    {"num_layers": 10**9},
    {"num_layers": 1000},
    {"hidden_size": 10**9},
    {"vocab_size": 10**12},
    {"num_layers": True},
]


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("changes", HUGE, ids=str)
def test_a_native_model_may_not_ask_for_more_than_its_weights(native: Path, changes: dict[str, Any]) -> None:
    edit(native, **changes)
    for read in (checkpoint.load_decoder, read_numpy_decoder):
        with pytest.raises((UserError, ValueError)):
            read(native)


@pytest.mark.parametrize("length", [model_folder.LONGEST_HEADER + 1, 2**63])
def test_the_header_of_weights_has_a_limit(native: Path, length: int) -> None:
    """Also where the file is as long as its header says."""
    path = native / "model.safetensors"
    with open(path, "r+b") as file:
        file.write(struct.pack("<Q", length))
        file.truncate(model_folder.LONGEST_HEADER + 2000)
    tracemalloc.start()
    with pytest.raises(UserError, match="damaged or truncated"):
        checkpoint.load_decoder(native)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("layers", [10**9, MAX_LAYERS + 1, 0, -3, "many"])
def test_a_hugging_face_model_may_not_ask_for_any_number_of_layers(llama: Path, layers: Any) -> None:
    edit(llama, num_hidden_layers=layers)
    for read in (open_model, open_config):
        with pytest.raises(UserError, match="num_hidden_layers"):
            read(llama)
    recipe = GraftRecipe.model_validate({"corpus": tiny.recipe().corpus, "model": {"base": str(llama)}})
    with pytest.raises(UserError, match="num_hidden_layers"):
        estimate(recipe, compute=__import__("torch").float32)


def test_weights_that_would_be_random_are_refused(llama: Path) -> None:
    edit(llama, num_hidden_layers=3)
    with pytest.raises(
        UserError, match=r"lack 9 tensors that its config.json asks for, such as model.layers.2"
    ):
        open_model(llama)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("changes", [{"hidden_size": 2**22}, {"vocab_size": 10**10}], ids=str)
def test_shapes_beyond_the_weights_are_refused(llama: Path, changes: dict[str, Any]) -> None:
    edit(llama, **changes)
    with pytest.raises(UserError):
        open_model(llama)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("key", ["num_layers", "hidden_size", "context_length", "vocab_size"])
def test_a_recipe_has_limits(key: str) -> None:
    with pytest.raises(ValueError, match="less than or equal"):
        Recipe.model_validate(tiny.recipe().model_dump() | {"model": {key: 10**9}})
