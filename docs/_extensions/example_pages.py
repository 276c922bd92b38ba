"""The example pages: `ropewalk show --html`, `ropewalk export-site`, the probe of docs/probe and a film of docs/film, made once.

They are made again when the bundled models or the views change. Each command runs in a process of its own.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from ropewalk.traces.trace import Trace
from ropewalk.views.film import save as write_film

SENTENCES = {
    "english": "The old bridge over New York was closed. Nobody knew why.",
    "chinese": "我们在北京大学学习语言学，他在图书馆工作。",
    "code": "def area(width, height):\n    return width * height\n",
}


FILM = Path(__file__).parents[1] / "film"
"""Traces of one sentence during a training run of the flagship's shape, one for each checkpoint."""
PROBE = Path(__file__).parents[1] / "probe"
"""The probe of SmolLM2 on two sentences of docs/results/real-models/smollm2.md: `ropewalk show TEXT --model FOLDER --json`."""


def ropewalk(folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ropewalk", *arguments], cwd=folder, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"ropewalk {' '.join(arguments)}: {done.stderr.strip()}")


def version() -> str:
    """Changes whenever a bundled model, a view or this file does."""
    package = Path(__file__).parents[2] / "src" / "ropewalk"
    digest = hashlib.sha256()
    homes = [package / "native" / "pretrained", package / "views", FILM, PROBE]
    files = [*(path for home in homes for path in home.rglob("*")), Path(__file__)]
    for path in sorted(path for path in files if path.is_file() and path.suffix != ".pyc"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def write_all(extra: Path) -> None:
    folder = extra / "pages"
    mark = folder / "version.txt"
    now = version()
    if mark.exists() and mark.read_text() == now:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in SENTENCES.items():
        ropewalk(folder, "show", text, "--html", f"{name}.html", "--json", f"{name}.json", "--quiet")
    frames = sorted(FILM.glob("*.json.gz"))
    write_film([Trace.load(path) for path in frames], folder / "film.html")
    for path in sorted(PROBE.glob("*.json")):
        ropewalk(folder, "page", str(path), "--out", f"probe-{path.stem}.html")
    shutil.rmtree(extra / "live", ignore_errors=True)
    if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxscript"):
        try:
            ropewalk(folder, "export-site", str(extra / "live"))
        except (
            RuntimeError
        ) as error:  # the browser's runtime is downloaded once; without a network there is no live page
            print(f"The examples have no live page: {error}", file=sys.stderr)
    mark.write_text(now)


def live_section(extra: Path) -> str:
    """The live page, where it could be made; otherwise the command that makes it."""
    if (extra / "live" / "index.html").exists():
        return (
            "The model itself runs in this page, made by `ropewalk export-site`. Type your own sentence; nothing leaves your "
            'browser.\n\n<iframe class="page" src="live/index.html" title="The model running in the browser" loading="lazy">'
            "</iframe>\n"
        )
    return "`ropewalk export-site FOLDER` writes a page in which the model itself runs in the browser.\n"
