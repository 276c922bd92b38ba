"""The commands and programs of the README run as written, in a folder laid out like a clone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import fresh
import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def fences(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


GRAFTING = "BASE"  # needs a base model: tests/hf/test_hf_docs.py makes one and runs these lines
PROGRAMS = [program for program in fences("python") if GRAFTING not in program]
COMMANDS = [line for fence in fences("sh") for line in fence.splitlines() if "ropewalk " in line]


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A folder with the recipes, in which `ropewalk` and `uvx ropewalk` are the installed package."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    programs = folder / "programs"
    programs.mkdir()
    (programs / "ropewalk").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ropewalk "$@"\n')
    (programs / "uvx").write_text(f'#!/bin/sh\nshift\nexec "{sys.executable}" -m ropewalk "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    return folder


def run(command: list[str], clone: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "ROPEWALK_CACHE": str(clone / "cache"),
        "PATH": f"{clone / 'programs'}{os.pathsep}{os.environ['PATH']}",
    }
    return subprocess.run(command, cwd=clone, capture_output=True, text=True, env=environment, timeout=300)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command, clone):
    done = run(["bash", "-euo", "pipefail", "-c", command], clone)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs(program, clone):
    done = fresh.run(program, clone, strict=True, ROPEWALK_CACHE=str(clone / "cache"))
    assert done.returncode == 0, done.stderr


def test_there_are_commands_and_programs_to_try():
    assert len(COMMANDS) >= 6 and PROGRAMS


def test_links_and_pictures_lead_somewhere():
    targets = re.findall(r"\]\(([^)]+)\)", README) + re.findall(r"(?:src|srcset)=\"([^\"]+)\"", README)
    assert targets
    for target in targets:
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
