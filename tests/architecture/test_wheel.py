"""The package as strangers install it: everything that the source folder holds is in the wheel, and works from there."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "ropewalk"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(place)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place / "site")
    return place / "site"


def test_nothing_is_left_behind(unpacked):
    def files(folder: Path) -> set[str]:
        return {
            str(p.relative_to(folder))
            for p in folder.rglob("*")
            if p.is_file() and "__pycache__" not in str(p)
        }

    assert files(SOURCE) == files(unpacked / "ropewalk")


def test_a_bundled_model_traces_from_the_wheel(unpacked, tmp_path):
    program = (
        f"import sys; sys.path.insert(0, {str(unpacked)!r}); import ropewalk; "
        "trace = ropewalk.trace(ropewalk.load('per-layer'), '绳 rope'); "
        f"assert ropewalk.__file__.startswith({str(unpacked)!r}); print(trace.values.shape[1])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "8", done.stderr
