"""The notebooks run from top to bottom and are kept without outputs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"


def test_the_notebook_is_kept_without_outputs() -> None:
    cells = json.loads((FOLDER / "start.ipynb").read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code and all(not cell["outputs"] and cell["execution_count"] is None for cell in code)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_jupyter_notebook_runs(tmp_path: Path) -> None:
    pytest.importorskip("ipykernel")
    pytest.importorskip("nbclient")
    pytest.importorskip("nbformat")
    program = (
        "import sys, nbclient, nbformat\n"
        "notebook = nbformat.read(sys.argv[1], as_version=4)\n"
        "nbclient.NotebookClient(notebook, timeout=300, kernel_name='python3').execute(cwd='.')\n"
    )
    environment = {
        **os.environ,
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    done = subprocess.run(
        [sys.executable, "-c", program, str(FOLDER / "start.ipynb")],
        cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_marimo_notebook_runs(tmp_path: Path) -> None:
    pytest.importorskip("marimo")
    file = Path(shutil.copy(FOLDER / "start_marimo.py", tmp_path))
    checked = subprocess.run(
        [sys.executable, "-m", "marimo", "check", "--strict", str(file)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    done = subprocess.run(
        [sys.executable, str(file)], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
