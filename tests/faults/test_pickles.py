"""No pickle is ever loaded: planted wherever a file is read, one that would leave a trace leaves none."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from formats import FORMATS, host

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny

from ropewalk.corpus import CorpusConfig, prepare
from ropewalk.errors import UserError
from ropewalk.native import checkpoint
from ropewalk.native.decoder import Decoder


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.place),)


def pickles(place: Path) -> dict[str, bytes]:
    """The same bomb as a plain pickle, as torch writes it, and as an array of objects."""
    bomb, saved, array = Bomb(place), io.BytesIO(), io.BytesIO()
    torch.save(bomb, saved)
    np.save(array, np.array([bomb], dtype=object), allow_pickle=True)
    header = b'{"__metadata__":{"x":"' + pickle.dumps(bomb, 0).hex().encode() + b'"}}'
    weights = len(header).to_bytes(8, "little") + header
    return {
        "pickle": pickle.dumps(bomb),
        "torch": saved.getvalue(),
        "numpy": array.getvalue(),
        "header": weights,
    }


def test_the_bombs_are_real(tmp_path: Path) -> None:
    pickle.Unpickler(io.BytesIO(pickles(tmp_path / "x")["pickle"])).load()
    assert (tmp_path / "x").exists()


@pytest.mark.parametrize("name", FORMATS)
def test_in_the_place_of_every_file(tmp_path: Path, name: str) -> None:
    one, good = FORMATS[name], tmp_path / "good"
    good.mkdir()
    one.make(good)
    for number, data in enumerate(pickles(tmp_path / "exploded").values()):
        for seal in (False, True):
            bad = tmp_path / f"{number}{seal}"
            shutil.copytree(good, bad)
            (bad / one.file).write_bytes(data)
            if seal:
                one.seal(bad)
            try:
                one.read(bad)
            except UserError as error:
                assert "\n" not in str(error)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.pt", "optimizer.pt", "training_args.bin"])
def test_beside_a_model(tmp_path: Path, file: str) -> None:
    """Where the weights are missing and only a pickle is there: refused, by our reader and by transformers."""
    from ropewalk.hf.loading import open_model

    checkpoint.save_decoder(tmp_path / "own", Decoder(tiny.config(), seed=0), {})
    host().save_pretrained(tmp_path / "host")
    for folder, read in ((tmp_path / "own", checkpoint.load_decoder), (tmp_path / "host", open_model)):
        for data in pickles(tmp_path / "exploded").values():
            (folder / file).write_bytes(data)
            read(folder)  # not looked at while the weights are there
        (folder / "model.safetensors").unlink()
        for data in pickles(tmp_path / "exploded").values():
            (folder / file).write_bytes(data)
            with pytest.raises(UserError), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read(folder)
    assert not (tmp_path / "exploded").exists()


def test_a_data_set_of_pickles(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(pickles(tmp_path / "exploded")["pickle"])
    for content in (
        {"dataset": "pandas", "data_files": ["a.pkl"]},
        {"dataset": str(tmp_path)},
        {"path": tmp_path / "a.pkl"},
    ):
        config = CorpusConfig.model_validate(
            {"sources": [content], "root": tmp_path, "validation_documents": 1}
        )
        with pytest.raises(UserError):
            prepare(config, tmp_path / "cache", progress=False)
    assert not (tmp_path / "exploded").exists()


# Names that lead elsewhere, numbers that promise the moon.


@pytest.mark.parametrize("name", ["../../outside", "/etc", "..", "a\0b", "x" * 5000])
def test_names_that_lead_elsewhere(name: str) -> None:
    with pytest.raises(UserError):
        checkpoint.load_decoder(name)


def test_a_link_is_followed_only_to_something_whole(tmp_path: Path) -> None:
    checkpoint.save_decoder(tmp_path / "m", Decoder(tiny.config(), seed=0), {})
    (tmp_path / "link").symlink_to(tmp_path / "m", target_is_directory=True)
    checkpoint.load_decoder(tmp_path / "link")
    (tmp_path / "m" / checkpoint.WEIGHTS).unlink()
    (tmp_path / "m" / checkpoint.WEIGHTS).symlink_to("/dev/zero")
    with pytest.raises(UserError, match="damaged or truncated"):
        checkpoint.load_decoder(tmp_path / "m")
    (tmp_path / "m" / checkpoint.WEIGHTS).unlink()
    (tmp_path / "m" / checkpoint.WEIGHTS).symlink_to(checkpoint.WEIGHTS)  # to itself
    with pytest.raises(UserError):
        checkpoint.load_decoder(tmp_path / "m")


def test_a_number_that_is_none_is_not_loaded_silently(tmp_path: Path) -> None:
    """Weights of nan give traces of nan, and those are refused."""
    from ropewalk.measure.capture import trace

    model = Decoder(tiny.config(), seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(float("nan"))
    checkpoint.save_decoder(tmp_path / "m", model, {})
    with pytest.raises(UserError, match="not finite"):
        trace(checkpoint.load_decoder(tmp_path / "m"), "abc")
