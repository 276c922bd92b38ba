"""What the README tells a stranger to type works, as written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def fences(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


GRAFTING = "ropewalk.hf"  # needs a base model: tests/hf/test_hf_docs.py makes one and runs these lines
PROGRAMS = [program for program in fences("python") if GRAFTING not in program]
COMMANDS = [line for fence in fences("sh") for line in fence.splitlines() if "ropewalk " in line]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder in which the README's relative paths lead where they lead in a clone."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    return folder


def run(command: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ROPEWALK_CACHE": str(place / "cache")}
    return subprocess.run(command, cwd=place, capture_output=True, text=True, env=environment, timeout=300)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command, place):
    done = run(["bash", "-euo", "pipefail", "-c", command], place)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs(program, place):
    done = run([sys.executable, "-W", "error", "-c", program], place)
    assert done.returncode == 0, done.stderr


def test_there_are_commands_and_programs_to_try():
    assert len(COMMANDS) >= 6 and PROGRAMS


def test_links_and_pictures_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
