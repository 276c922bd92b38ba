"""Check the package as a stranger gets it: build it, install the wheel alone, and use it without PyTorch.

    python scripts/check_wheel.py                       # build with hatchling, then check
    python scripts/check_wheel.py --dist dist           # check what was built before
    python scripts/check_wheel.py --report wheel.json   # write the sizes as JSON too

The wheel goes into an empty environment outside the source tree, with the base dependencies at the versions of
constraints.txt or of another file (--constraint). There every command must explain itself; `info`, `show`, `page` and
`analyze` must work, on English and Chinese text; and what needs an extra must name the extra in one sentence.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
MEGABYTE = 2**20
WHEEL_LIMIT, SDIST_LIMIT = 20 * MEGABYTE, 20 * MEGABYTE  # the bundled models are nearly all of it
DOWNLOAD_LIMIT = 60 * 10**6  # what `uvx ropewalk show` fetches the first time, NumPy included
INSTALLED_LIMIT = 100 * MEGABYTE  # without bytecode; NumPy alone takes about 60
REQUIRED = ("ropewalk/py.typed", "licenses/LICENSE", "licenses/NOTICE")
FORBIDDEN = re.compile(r"(^|/)(tests|docs|bench|\.github|\.venv|runs)/|\.(pyc|ipynb|ckpt|pt)$")
ABSENT = ("torch", "matplotlib", "transformers", "zstandard", "starlette", "pandas", "scipy")
ENGLISH, CHINESE = "The old bridge over New York was closed.", "我们在北京大学学习。"
# Commands that need an extra, and the extra that their one sentence must name.
NEEDS_EXTRA = (
    (["show", ENGLISH, "--png", "picture.png"], "pictures"),
    (["demo", "--out", "demo"], "train,pictures"),
    (["analyze", "extremes", "trace.json", "--out", "tables"], "pictures"),
    (["generate", "The"], "torch"),
    (["trace", str(ROOT / "README.md"), "--out", "traces"], "torch"),
    (["measure", "bytes", "shared"], "study"),
    (["show", "The", "--model", "needs-torch"], "torch"),
    (["train", str(ROOT / "recipes" / "smoke.toml"), "--out", "run"], "train"),
    (["probe", "model", ENGLISH], "hf"),
    (["view"], "view"),
)


class Failure(Exception):
    """The package is not what it has to be."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Failure(what)


def build(folder: Path) -> None:
    """Wheel and source distribution, by the build backend that pyproject.toml names."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    require(len(found) == 1, f"{folder} holds {len(found)} files {pattern}, expected one")
    return found[0]


def check_contents(wheel: Path, sdist: Path) -> None:
    """No tests, no documentation, no large files; the licenses and the type marker are inside."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    with tarfile.open(sdist) as archive:
        sources = [member.name.partition("/")[2] for member in archive.getmembers()]
    for required in REQUIRED:
        require(any(name.endswith(required) for name in names), f"{wheel.name} lacks {required}")
    for archive_name, listed in ((wheel.name, names), (sdist.name, sources)):
        unwanted = [name for name in listed if FORBIDDEN.search(name)]
        require(not unwanted, f"{archive_name} holds {', '.join(unwanted[:3])}")
    for path, limit in ((wheel, WHEEL_LIMIT), (sdist, SDIST_LIMIT)):
        require(path.stat().st_size <= limit, f"{path.name} is larger than {limit // MEGABYTE} MiB")


class Environment:
    """An empty virtual environment with the wheel and its base dependencies; commands run beside it."""

    def __init__(self, folder: Path, wheel: Path, constraint: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", str(folder / "env")], check=True)
        self.binaries = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
        self.python = str(self.binaries / "python")
        self.work = folder / "work"
        self.work.mkdir()
        pip = [self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--constraint", str(constraint), str(wheel)], check=True, cwd=self.work)

    def ropewalk(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        variables |= {
            "PYTHONIOENCODING": "utf-8",
            "PYTHONWARNINGS": "error",
            "ROPEWALK_CACHE": str(self.work / "cache"),
            "COLUMNS": "100",
        }
        command = [str(self.binaries / "ropewalk"), *arguments]
        return subprocess.run(
            command,
            cwd=self.work,
            env=variables,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
        )

    def succeed(self, *arguments: str) -> str:
        done = self.ropewalk(*arguments)
        require(done.returncode == 0, f"ropewalk {' '.join(arguments)} failed:\n{done.stderr}")
        return done.stdout

    def distributions(self) -> list[str]:
        program = "import importlib.metadata as m; print(*sorted(d.name.lower() for d in m.distributions()))"
        return subprocess.run(
            [self.python, "-I", "-c", program], capture_output=True, text=True, check=True
        ).stdout.split()

    def size(self) -> int:
        """Bytes in site-packages, without bytecode and pip."""
        (site,) = self.binaries.parent.rglob("site-packages")
        counted = (
            path
            for path in site.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
            if path.relative_to(site).parts[0].partition("-")[0] not in ("pip", "setuptools")
        )
        return sum(path.stat().st_size for path in counted)


def download(wheel: Path, distributions: list[str]) -> int:
    """Bytes that an installation fetches: the wheel, and of each dependency in uv.lock the largest wheel for Linux or any system."""
    packages = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    locked = {package["name"]: package.get("wheels", []) for package in packages}
    total = wheel.stat().st_size
    for name in distributions:
        fits = [
            file["size"]
            for file in locked.get(name.replace("_", "-"), [])
            if re.search(r"manylinux.*x86_64|-any\.whl$", file["url"])
        ]
        total += max(fits, default=0)
    return total


def check_base_install(environment: Environment) -> None:
    """Text to printed rows, page, trace and table, without PyTorch."""
    present = environment.distributions()
    unwanted = sorted(set(ABSENT) & set(present))
    require(not unwanted, f"the base install brings {', '.join(unwanted)}")

    help_text = environment.succeed("--help")
    commands = re.findall(r"^  ([a-z][a-z-]+)  ", help_text, re.MULTILINE)
    require({"show", "page", "train"} <= set(commands), f"the help lists only {commands}")
    for command in commands:
        environment.succeed(command, "--help")

    for text in (ENGLISH, CHINESE):
        printed = environment.succeed("show", text)
        require(
            all(character in printed for character in set(text) - {" "}), f"not all of {text!r} is printed"
        )
    environment.succeed("show", CHINESE, "--html", "show.html", "--json", "trace.json", "--csv", "trace.csv")
    environment.succeed("page", "trace.json", "--out", "page.html")
    for name in ("show.html", "page.html"):
        require(
            "北" in (environment.work / name).read_text(encoding="utf-8"), f"{name} does not hold its text"
        )
    trace = json.loads((environment.work / "trace.json").read_text(encoding="utf-8"))
    require(CHINESE in json.dumps(trace, ensure_ascii=False), "trace.json does not hold its text")
    require("per-layer" in environment.succeed("info"), "info does not list the bundled models")
    require("parameters" in environment.succeed("info", "per-layer"), "info does not describe a model")
    require("extremes" in environment.succeed("analyze", "extremes", "trace.json").lower(), "no analysis")
    wrong = environment.ropewalk("show", "The", "--model", "nothing")
    require(
        wrong.returncode == 1 and "'nothing' does not exist" in wrong.stderr, f"show said: {wrong.stderr}"
    )

    made = environment.work / "needs-torch"  # a model that only PyTorch runs
    shutil.copytree(ROOT / "src" / "ropewalk" / "native" / "pretrained" / "shared", made)
    config = json.loads((made / "config.json").read_text(encoding="utf-8"))
    config["model"]["decay"] = "alibi"
    (made / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for arguments, extra in NEEDS_EXTRA:
        done = environment.ropewalk(*arguments)
        said = done.stderr.strip()
        what = (
            f"ropewalk {' '.join(arguments)} must name the extra {extra!r} in one sentence, but said:\n{said}"
        )
        require(done.returncode == 1 and f"ropewalk[{extra}]" in said and "Traceback" not in said, what)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dist", type=Path, help="a folder with one wheel and one source distribution")
    parser.add_argument("--constraint", type=Path, default=ROOT / "constraints.txt", help="versions for pip")
    parser.add_argument("--report", type=Path, help="write sizes and times as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dist = options.dist.resolve() if options.dist else folder / "dist"
        if options.dist is None:
            build(dist)
        wheel, sdist = only(dist, "*.whl"), only(dist, "*.tar.gz")
        check_contents(wheel, sdist)
        environment = Environment(folder, wheel, options.constraint.resolve())
        installed, fetched = environment.size(), download(wheel, environment.distributions())
        check_base_install(environment)
        require(installed <= INSTALLED_LIMIT, f"the base install takes {installed / MEGABYTE:.0f} MiB")
        require(fetched <= DOWNLOAD_LIMIT, f"the base install downloads {fetched / 1e6:.0f} MB")
        start = time.perf_counter()
        environment.succeed("show", ENGLISH)
        report = {
            "wheel_mib": round(wheel.stat().st_size / MEGABYTE, 1),
            "sdist_mib": round(sdist.stat().st_size / MEGABYTE, 1),
            "download_mb": round(fetched / 1e6, 1),
            "installed_mib": round(installed / MEGABYTE, 1),
            "show_seconds": round(time.perf_counter() - start, 2),
        }
    if options.report:
        options.report.write_text(json.dumps(report) + "\n", encoding="utf-8")
    print(f"the wheel works without PyTorch: {report}")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"check_wheel: {failure}")
