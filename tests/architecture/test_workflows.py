"""The GitHub workflows and forms are valid, pinned and ask for no more rights than they use.

The validators come with the dependency group `test`; without them their tests are skipped.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
SCHEMAS = {
    "vendor.github-workflows": WORKFLOWS,
    "custom.github-workflows-require-timeout": WORKFLOWS,
    "vendor.github-issue-forms": [
        path for path in sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) if path.name != "config.yml"
    ],
    "vendor.github-issue-config": [GITHUB / "ISSUE_TEMPLATE" / "config.yml"],
    "vendor.dependabot": [GITHUB / "dependabot.yml"],
    "vendor.citation-file-format": [ROOT / "CITATION.cff"],
}


def validator(name: str) -> str:
    """The path of a validator's program in this environment."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed; run: pip install --group test")
    return found


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")


def unpinned(text: str) -> list[str]:
    """The actions that a workflow uses by anything but a full commit and the version it stands for."""
    uses = re.findall(r"uses: (.+)", text)
    return [action for action in uses if not action.startswith("./") and not PINNED.fullmatch(action.strip())]


def excessive(workflow: dict[str, Any]) -> list[str]:
    """Jobs that do not state their own rights, or rights given to every job at once."""
    wrong = [] if workflow.get("permissions") == {} else ["the workflow as a whole"]
    return wrong + [name for name, job in workflow["jobs"].items() if "permissions" not in job]


def load(text: str) -> dict[str, Any]:
    return pytest.importorskip("yaml").safe_load(text)


def test_the_expected_workflows_exist() -> None:
    assert {path.stem for path in WORKFLOWS} == {"docs", "release", "tests"}


def test_actionlint_finds_nothing() -> None:
    found = run(validator("actionlint"), "-no-color", *map(str, WORKFLOWS))
    assert found.returncode == 0, found.stdout + found.stderr


def test_zizmor_finds_no_insecure_pattern() -> None:
    found = run(validator("zizmor"), "--offline", "--no-progress", "--color=never", str(GITHUB))
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("schema", SCHEMAS)
def test_files_match_their_schema(schema: str) -> None:
    paths = [str(path) for path in SCHEMAS[schema]]
    found = run(validator("check-jsonschema"), "--force-filetype", "yaml", "--builtin-schema", schema, *paths)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_rights_are_stated(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert unpinned(text) == []
    assert excessive(load(text)) == []


def test_only_the_publishing_job_may_sign_in_to_pypi() -> None:
    jobs = load((GITHUB / "workflows" / "release.yml").read_text(encoding="utf-8"))["jobs"]
    publishing = jobs["pypi"]
    assert publishing["permissions"] == {"id-token": "write"}
    assert publishing["environment"]["name"] == "pypi"
    assert not [step for step in publishing["steps"] if "run" in step]
    assert "id-token" not in jobs["build"]["permissions"]


def test_these_tests_can_fail(tmp_path: Path) -> None:
    assert unpinned("- uses: actions/checkout@v7\n") == ["actions/checkout@v7"]
    assert unpinned("- uses: ./local\n") == []
    assert excessive({"jobs": {"build": {}}}) == ["the workflow as a whole", "build"]
    broken = tmp_path / "broken.yml"
    broken.write_text(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: echo ${{ nothing.here }}\n"
    )
    assert run(validator("actionlint"), "-no-color", str(broken)).returncode == 1
    assert (
        run(validator("check-jsonschema"), "--builtin-schema", "vendor.dependabot", str(broken)).returncode
        == 1
    )
