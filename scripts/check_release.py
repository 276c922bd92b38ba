"""Check that a tag can be released, or print its release notes.

    python scripts/check_release.py v0.2.0 https://github.com/OWNER/NAME   # exit with 1 and say what disagrees
    python scripts/check_release.py v0.2.0 --notes                         # this version's part of CHANGELOG.md

Compared are the tag, `__version__`, the heading in CHANGELOG.md, the version in CITATION.cff, and the repository in
pyproject.toml.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def notes(changelog: str, version: str) -> str:
    """The text under `## VERSION (YYYY-MM-DD)`, or "" if there is no such heading or nothing below it."""
    pattern = rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)\n(.*?)(?=^## |\Z)"
    found = re.search(pattern, changelog, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


def problems(root: Path, tag: str, repository: str) -> list[str]:
    """What keeps the tree under `root` from being released as `tag` of `repository`, one sentence each."""
    source = (root / "src" / "ropewalk" / "__init__.py").read_text(encoding="utf-8")
    declared = re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    version = declared[1] if declared else "none"
    citation = re.search(
        r"^version: (.+)$", (root / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE
    )
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = []
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", version):
        found.append(f"__version__ is {version}, which is not a release")
    if tag != f"v{version}":
        found.append(f"the tag is {tag}, but __version__ is {version}")
    if not notes((root / "CHANGELOG.md").read_text(encoding="utf-8"), version):
        found.append(f"CHANGELOG.md has nothing under '## {version} (YYYY-MM-DD)'")
    if citation is None or citation[1].strip() != version:
        found.append(f"CITATION.cff does not name version {version}")
    if project["urls"]["Repository"] != repository:
        found.append(f"pyproject.toml names {project['urls']['Repository']}, but this is {repository}")
    return found


def main(arguments: list[str]) -> None:
    if len(arguments) != 2:
        sys.exit(__doc__)
    tag, other = arguments
    if other == "--notes":
        print(notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), tag.removeprefix("v")))
    elif found := problems(ROOT, tag, other):
        sys.exit("\n".join(f"check_release: {problem}" for problem in found))


if __name__ == "__main__":
    main(sys.argv[1:])
