"""The film as a GIF and as a page."""

import re
from pathlib import Path

import pytest
from samples import CHINESE, ENGLISH, sample

from ropewalk.errors import UserError
from ropewalk.traces.trace import Trace
from ropewalk.views import film


def frames(text: str = "rope", layers: int = 2) -> list[Trace]:
    last = sample(text, layers)
    return [
        sample(text, layers, values=1 + (last.values - 1) * part, name=name)
        for part, name in ((0.0, ""), (0.5, "step-00000250"), (1.0, "step-00001000"))
    ]


def test_a_gif_has_every_frame_and_those_between(tmp_path: Path) -> None:
    from PIL import Image

    film.save(frames(), tmp_path / "f.gif")
    with Image.open(tmp_path / "f.gif") as image:
        assert image.n_frames == 1 + 2 * film.BETWEEN
        assert image.info["duration"] == film.HOLD and image.info["loop"] == 0
        first = image.convert("RGB").tobytes()
        image.seek(image.n_frames - 1)
        assert image.convert("RGB").tobytes() != first


def test_the_same_film_has_the_same_bytes() -> None:
    assert film.gif(frames(), ["a", "b", "c"]) == film.gif(frames(), ["a", "b", "c"])


@pytest.mark.filterwarnings("ignore:Glyph")
def test_a_film_of_chinese_is_drawn() -> None:
    pytest.importorskip("notojp_matplotlib", reason="no font for Chinese")
    assert film.gif(frames(CHINESE), ["a", "b", "c"]).startswith(b"GIF")


def test_a_page_names_its_frames_by_their_models(tmp_path: Path) -> None:
    film.save(frames(), tmp_path / "f.html")
    html = (tmp_path / "f.html").read_text(encoding="utf-8")
    assert re.findall(r'"name":"([^"·]*) · 0.87 nats per byte"', html) == [
        "untrained",
        "step 250",
        "step 1,000",
    ]


def test_between_goes_from_one_to_the_other() -> None:
    first, _, last = frames()
    assert film.between(first, last, 0.0).values.tolist() == first.values.tolist()
    assert film.between(first, last, 1.0).values.tolist() == last.values.tolist()


@pytest.mark.parametrize(
    ("given", "name", "reason"),
    [
        (frames()[:1], "f.gif", "at least two frames"),
        ([*frames(), sample(ENGLISH, 2)], "f.gif", "frames of one text"),
        (frames("x" * 101), "f.gif", "choose a sentence"),
        (frames(), "f.mp4", "ending in .html or .gif"),
    ],
)
def test_what_is_no_film_is_refused(tmp_path: Path, given: list[Trace], name: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        film.save(given, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
