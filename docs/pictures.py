"""Draws the pictures of README and docs from the bundled model, light and dark: python docs/pictures.py

The dark pictures are the light ones with every color's lightness inverted, so both show the same numbers. Also draws
docs/flow.svg and docs/flow-dark.svg, and docs/film.gif from the traces in docs/film.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import flow
import numpy as np
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image

import ropewalk
from ropewalk.traces.trace import Trace
from ropewalk.views import figure, film

DOCS = Path(__file__).parent
TEXTS = {
    "picture": "The old bridge over New York was closed. Nobody knew why.",
    "picture-zh": "我们在北京大学学习语言学，他在图书馆工作。",
    "picture-code": "def area(width, height): return width * height",
}
PAPER = np.array([19, 20, 22]) / 255  # the page's background in dark mode

AGAIN = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"  # makes a GIF repeat


def darkened(picture: Image.Image) -> Image.Image:
    """White becomes the dark page's color, black becomes light, hues stay."""
    colors = np.asarray(picture.convert("RGB"), float) / 255
    lightness = (colors.max(-1) + colors.min(-1)) / 2
    chroma = colors.max(-1) - colors.min(-1)
    hue = rgb_to_hsv(colors)[..., 0]
    lightness = 1 - lightness
    room = 1 - np.abs(2 * lightness - 1)
    chroma = np.minimum(chroma, room)
    value = lightness + chroma / 2
    saturation = np.divide(chroma, value, out=np.zeros_like(value), where=value > 0)
    dark = hsv_to_rgb(np.stack([hue, np.clip(saturation, 0, 1), np.clip(value, 0, 1)], -1))
    dark = PAPER + dark * (0.93 - PAPER)
    return Image.fromarray((dark * 255).round().astype(np.uint8))


def main() -> None:
    for name, colors in flow.COLORS.items():
        (DOCS / name).write_text(flow.drawing(colors), encoding="utf-8")
    model = ropewalk.load("flagship")
    for name, text in TEXTS.items():
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "picture.png"
            figure.save(ropewalk.trace(model, text), file)
            with Image.open(file) as picture:
                light = picture.convert("RGB")
        for suffix, drawn in (("", light), ("-dark", darkened(light))):
            drawn.save(DOCS / f"{name}{suffix}.png", optimize=True)
    frames = [Trace.load(path) for path in sorted((DOCS / "film").glob("*.json.gz"))]
    film.save(frames, DOCS / "film.gif")
    moving = (DOCS / "film.gif").read_bytes()
    (DOCS / "film.gif").write_bytes(
        moving.replace(AGAIN, b"")
    )  # a page whose pictures move forever is hard to read


if __name__ == "__main__":
    main()
