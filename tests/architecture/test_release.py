"""The versions and the release: constraints.txt is uv.lock, no file names a private index, and the release check can fail."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
LOCK = (ROOT / "uv.lock").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def scripts() -> Iterator[tuple[ModuleType, ModuleType]]:
    sys.path.insert(0, str(ROOT / "scripts"))
    import check_release
    import write_constraints

    yield check_release, write_constraints
    sys.path.remove(str(ROOT / "scripts"))


def test_constraints_are_the_lock_file(scripts) -> None:
    assert (ROOT / "constraints.txt").read_text(encoding="utf-8") == scripts[1].constraints(LOCK)


def test_two_versions_of_a_package_are_refused(scripts) -> None:
    entry = '[[package]]\nname = "a"\nversion = "{}"\nsource = {{ registry = "https://pypi.org/simple" }}\n'
    with pytest.raises(SystemExit, match="several versions of a"):
        scripts[1].constraints(entry.format("1") + entry.format("2"))


def test_the_lock_file_knows_public_addresses_only() -> None:
    hosts = set(re.findall(r'"https?://([^/"]+)', LOCK))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}
    packages = [package for package in tomllib.loads(LOCK)["package"] if "registry" in package["source"]]
    files = [
        file for package in packages for file in (*package.get("wheels", ()), package.get("sdist")) if file
    ]
    assert files and all(file["hash"].startswith("sha256:") for file in files)


def _exported() -> list[str]:
    """What `uv export` writes for pip, one text for each package of the base install and of every extra."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    command = [
        uv,
        "export",
        "--frozen",
        "--offline",
        "--all-extras",
        "--no-default-groups",
        "--no-emit-project",
    ]
    written = subprocess.run(
        [*command, "--quiet"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [entry for entry in re.split(r"\n(?! )", written) if re.match(r"[a-z0-9]", entry)]


def test_pip_can_install_what_was_tested_by_its_hashes(scripts) -> None:
    entries = _exported()
    hashes = set(re.findall(r'hash = "(sha256:[0-9a-f]{64})"', LOCK))
    for entry in entries:
        found = re.findall(r"--hash=(\S+)", entry)
        assert found and hashes.issuperset(found), entry
    pinned = {re.split(r" ;| \\", entry.split("\n")[0])[0].strip() for entry in entries}
    ours = {pin for pin in pinned if not pin.startswith(scripts[1].CUDA)}
    assert ours <= set(scripts[1].constraints(LOCK).splitlines()) and len(ours) > 70


def test_every_package_has_a_license_that_lets_anyone_use_it() -> None:
    free = re.compile(r"MIT|BSD|Apache|ISC|PSF|Python Software|Zlib|CC0|MPL|Mozilla|HPND")
    found = {}
    for entry in _exported():
        try:
            about = metadata.metadata(re.split(r"==", entry)[0])
        except metadata.PackageNotFoundError:  # of another system, or of CUDA
            continue
        classifiers = [line for line in about.get_all("Classifier", []) if line.startswith("License")]
        found[about["Name"]] = " ".join(
            [about.get("License-Expression") or "", about.get("License") or "", *classifiers]
        )
    assert len(found) > 60
    assert [name for name, license in found.items() if not free.search(license)] == []
    assert [
        name for name, license in found.items() if re.search(r"(?<![A-Z])[AL]?GPL", license.split("\n")[0])
    ] == []


def test_the_base_install_is_small() -> None:
    names = {re.split(r"[<>=\[ ]", line)[0] for line in PYPROJECT["project"]["dependencies"]}
    assert names == {"numpy", "pydantic", "regex", "rich", "safetensors", "typer"}


def test_the_extra_for_everything_names_every_extra() -> None:
    (everything,) = EXTRAS["all"]
    named = everything.removeprefix("ropewalk[").removesuffix("]").split(",")
    assert sorted(named) == sorted(set(EXTRAS) - {"all"})


def test_errors_name_extras_that_exist() -> None:
    sources = list((ROOT / "src").rglob("*.py"))
    named = {
        extra
        for path in sources
        for found in re.findall(r"ropewalk\[([a-z0-9,]+)\]", path.read_text(encoding="utf-8"))
        for extra in found.split(",")
    }
    assert named and named <= set(EXTRAS)


def test_the_citation_is_of_this_version() -> None:
    import ropewalk

    assert f"\nversion: {ropewalk.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def addresses(text: str) -> set[str]:
    """The repositories and sites of a project of this name that a text leads to."""
    found = re.findall(r"https://(github\.com/[\w-]+/ropewalk|[\w-]+\.github\.io/ropewalk)\b", text)
    return {f"https://{address}" for address in found}


def test_every_file_names_the_same_repository() -> None:
    urls = PYPROJECT["project"]["urls"]
    ours = {urls["Repository"], urls["Homepage"].rstrip("/")}
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    texts = {".md", ".cff", ".yml", ".toml", ".py", ".ipynb", ".html"}
    names = [name for name in listed.decode().split("\0") if Path(name).suffix in texts]
    others = {
        name: found - ours
        for name in names
        if name != "tests/architecture/test_release.py" and (ROOT / name).is_file()
        if (found := addresses((ROOT / name).read_text(encoding="utf-8"))) - ours
    }
    assert others == {} and addresses((ROOT / "pyproject.toml").read_text(encoding="utf-8")) == ours
    assert addresses("see https://github.com/someone/ropewalk/issues") == {
        "https://github.com/someone/ropewalk"
    }


def tree(root: Path, version: str = "0.2.0", heading: str = "0.2.0 (2026-12-01)") -> Path:
    (root / "src" / "ropewalk").mkdir(parents=True)
    (root / "src" / "ropewalk" / "__init__.py").write_text(f'__version__ = "{version}"\n')
    (root / "CHANGELOG.md").write_text(
        f"# Changelog\n\n## {heading}\n\n### Added\n- Something.\n\n## 0.1.0\n- First.\n"
    )
    (root / "CITATION.cff").write_text(f"version: {version}\n")
    (root / "pyproject.toml").write_text('[project.urls]\nRepository = "https://example.org/a/b"\n')
    return root


def test_a_consistent_tree_can_be_released(scripts, tmp_path: Path) -> None:
    root = tree(tmp_path)
    assert scripts[0].problems(root, "v0.2.0", "https://example.org/a/b") == []
    assert scripts[0].notes((root / "CHANGELOG.md").read_text(), "0.2.0") == "### Added\n- Something."


@pytest.mark.parametrize(
    ("how", "tag", "repository", "problem"),
    [
        ({"version": "0.2.0.dev0"}, "v0.2.0.dev0", "https://example.org/a/b", "not a release"),
        ({}, "v0.3.0", "https://example.org/a/b", "the tag is v0.3.0"),
        ({"heading": "0.2.0 (in progress)"}, "v0.2.0", "https://example.org/a/b", "CHANGELOG.md has nothing"),
        ({}, "v0.2.0", "https://example.org/other", "but this is"),
    ],
)
def test_an_inconsistent_tree_is_refused(scripts, tmp_path: Path, how, tag, repository, problem) -> None:
    found = scripts[0].problems(tree(tmp_path, **how), tag, repository)
    assert any(problem in sentence for sentence in found), found


@pytest.mark.parametrize(
    ("package", "release"),
    [
        ("typer", "0.15.0"),
        ("starlette", "0.40"),
        ("pillow", "10.0.0"),
        ("onnx", "1.16.0"),
        ("pyarrow", "14.0.0"),
    ],
)
def test_lower_bounds_leave_out_releases_that_break_or_are_vulnerable(package: str, release: str) -> None:
    entries = [
        *PYPROJECT["project"]["dependencies"],
        *(entry for extra in EXTRAS.values() for entry in extra),
    ]
    found = [one for one in map(Requirement, entries) if one.name == package]
    assert found and not any(one.specifier.contains(release) for one in found)
