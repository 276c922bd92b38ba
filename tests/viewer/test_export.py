"""The ONNX graph takes any length and any edit; the runtime is only used when it is the pinned one; a site is whole."""

import base64
import hashlib
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import config, moved

import ropewalk
from ropewalk.errors import UserError
from ropewalk.export import onnx, onnx_graph, runtime, site
from ropewalk.export.lessons import LESSONS, sentence_for
from ropewalk.measure.capture import trace
from ropewalk.native.decoder import Decoder
from ropewalk.native.pretrained import DEFAULT


def model(**how: Any) -> Decoder:
    return moved(Decoder(config(**how), seed=3))


@pytest.fixture(scope="module")
def rounded() -> Decoder:
    """A model whose weights lose nothing as float16."""
    decoder = model()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.copy_(parameter.half().float())
    return decoder


@pytest.fixture(scope="module")
def data(rounded: Decoder) -> bytes:
    return onnx_graph.build(rounded).SerializeToString()


@pytest.fixture
def built(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `graph.build` give the graph that is there already."""
    import onnx as package

    monkeypatch.setattr(onnx_graph, "build", lambda _: package.load_from_string(data))


def test_the_graph_runs_any_length_and_edits(data: bytes) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    for length in (2, 3, 41, 64):
        tokens = torch.randint(0, 256, (1, length))
        keep, shift = np.ones((1, 2, length), np.float32), np.zeros((1, 2, length), np.float32)
        keep[0, 1, -1], shift[0, 1, -1] = 0, 4.0
        d, logits = session.run(None, {"tokens": tokens.numpy(), "keep": keep, "shift": shift})
        assert d.shape == (1, 2, length) and logits.shape == (1, length, 257) and d[0, 1, -1] == 4.0


def test_a_graph_names_no_place_of_this_machine(data: bytes) -> None:
    assert not any(word in data for word in (b"/home/", b"site-packages", b"decoder.py", b"Traceback"))


@pytest.mark.usefixtures("built")
def test_large_weights_are_halved_and_too_large_ones_refused(tmp_path: Path, rounded: Decoder) -> None:
    onnx(rounded, tmp_path / "whole.onnx")
    whole = (tmp_path / "whole.onnx").stat().st_size
    onnx(rounded, tmp_path / "half.onnx", most=whole - 1)
    assert (tmp_path / "half.onnx").stat().st_size < 0.8 * whole
    with pytest.raises(UserError, match="export a smaller model"):
        onnx(rounded, tmp_path / "none.onnx", most=1000)
    assert not (tmp_path / "none.onnx").exists()


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("wrong", [0.1, float("nan")])
def test_a_graph_that_differs_is_not_written(
    tmp_path: Path, rounded: Decoder, wrong: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_graph, "differences", lambda *_: {"increments": 0.0, "logits": wrong})
    with pytest.raises(UserError, match=r"within 0.002 of PyTorch's"):
        onnx(rounded, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


class Answer:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def __enter__(self) -> "Answer":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def read(self, most: int) -> bytes:
        return self.data[:most]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A registry that gives b"package", whose hash is pinned; and the addresses it was asked for."""
    asked: list[str] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(runtime, "registry", lambda: "https://registry.example/")
    monkeypatch.setattr(runtime, "INTEGRITY", base64.b64encode(hashlib.sha512(b"package").digest()).decode())
    monkeypatch.setattr(
        runtime.urllib.request, "urlopen", lambda url, **_: asked.append(url) or Answer(b"package")
    )
    return asked


def test_the_runtime_is_fetched_once(registry: list[str]) -> None:
    assert runtime.package() == runtime.package() == b"package"
    assert registry == [f"https://registry.example/onnxruntime-web/-/onnxruntime-web-{runtime.VERSION}.tgz"]


def test_a_changed_runtime_is_never_used(registry: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    runtime.package()
    (kept,) = runtime.cache_folder().iterdir()
    kept.write_bytes(b"changed")
    assert runtime.package() == b"package" and len(registry) == 2
    kept.write_bytes(b"changed")
    monkeypatch.setattr(runtime.urllib.request, "urlopen", lambda *_, **__: Answer(b"other"))
    with pytest.raises(UserError, match="pinned sha512"):
        runtime.package()


@pytest.mark.parametrize("error", [OSError("no route"), IncompleteRead(b""), ValueError("unknown url type")])
def test_no_network_is_content(
    registry: list[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(runtime.urllib.request, "urlopen", fail)
    with pytest.raises(UserError, match="connect to the network"):
        runtime.package()


def test_the_default_registry_is_npms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.shutil, "which", lambda _: None)
    assert runtime.registry() == "https://registry.npmjs.org/"


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(UserError, match="holds other files"):
        site(tmp_path, model())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_failed_site_leaves_the_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = tmp_path / "site"
    earlier.mkdir()
    (earlier / "index.html").write_text("earlier")

    def fail(_: Path) -> None:
        raise UserError("no network")

    monkeypatch.setattr(runtime, "copy_into", fail)
    with pytest.raises(UserError, match="no network"):
        site(earlier, model())
    assert (earlier / "index.html").read_text() == "earlier" and len(list(tmp_path.iterdir())) == 1


def test_another_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="byte model"):
        site(tmp_path / "site", Decoder(config(decoder={"vocab_size": 100})))


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.title)
def test_the_default_model_shows_every_lesson(lesson: Any) -> None:
    shown = trace(ropewalk.load(DEFAULT, backend="numpy"), lesson.text)
    assert "Yes, most of all in L" in sentence_for(lesson, shown)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.title)
def test_a_lesson_is_true_of_its_numbers(lesson: Any) -> None:
    content = sentence_for(lesson, trace(Decoder(config()), lesson.text))
    assert (
        "hardly shows it" in content
    )  # an untrained model has integer spacing: nothing is wider than anything
    data = lesson.text.encode()
    wide = np.array([t > 0 and lesson.wide(data[t - 1], data[t]) for t in range(len(data))])
    plain = np.array([t > 0 and lesson.plain(data[t - 1], data[t]) for t in range(len(data))])
    assert wide.any() and plain.any() and not (wide & plain).any()
    result = trace(Decoder(config()), lesson.text)
    from dataclasses import replace

    values = np.where(wide, 3.0, 1.0)[None] * np.array([[1.0], [1.5]]) ** np.where(wide, 1, 0)[None]
    content = sentence_for(lesson, replace(result, values=values))
    assert "most of all in L1" in content and "4.5 times" in content
