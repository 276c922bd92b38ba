"""A rented GPU for a few minutes: checks, parity, a bench, and the published recipe for the time that is left.

    python scripts/gpu_lease.py --seconds 560 --corpus FOLDER --out OUT        (on a CPU, in a minute: --tiny)
    python scripts/gpu_lease.py --seconds 180 --out A --check                  (the same in two commands)
    python scripts/gpu_lease.py --seconds 560 --corpus FOLDER --out B --figures A/figures.json --models per-layer,rope

Stages: the environment; the parity of every option of a training step with the CPU; a bench of the options that passed,
beside other people's models of the same shape; the recipe with the fastest option, for one model after another with the same
number of steps; float16 weights, metrics and figures in at most 8 files. Options run in processes of their own, so a crash
or a hang costs that option only, and nothing begins that cannot end in time. `scripts/pack_for_gpu.py` makes the folder
that this needs. A test rehearses it on the CPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpu_steps import BATCH, INCREMENTS, OPTIONS, OTHERS, SHAPE, TINY_OPTIONS, option_of, size_of

ROOT = Path(__file__).resolve().parent.parent
STEPS = Path(__file__).with_name("gpu_steps.py")
NEEDED = ("numpy", "pydantic", "regex", "rich", "safetensors", "torch", "typer", "zstandard")
FILE_LIMIT = 16 * 2**20
STEPS_OF_RECIPE = 50_000
AT_ONCE = 4
"""Options whose parity is checked at the same time: mostly they wait for the compiler."""
START = 30.0
"""Seconds that a training takes before its first step: corpus, weights, compiled code."""
EARLY = (0.25, 0.5)
"""Fractions of a training whose nearest checkpoints come back as well."""


class Clock:
    """The time of the whole script."""

    def __init__(self, seconds: float) -> None:
        self.began, self.seconds = time.monotonic(), seconds

    def left(self) -> float:
        return self.seconds - (time.monotonic() - self.began)

    def say(self, *words: object) -> None:
        print(f"[{time.monotonic() - self.began:5.0f} s]", *words, flush=True)


class Figures:
    """What was found, written to OUT/figures.json after every change."""

    def __init__(self, out: Path) -> None:
        self.path, self.found = out / "figures.json", dict[str, Any]()
        self.lock = threading.Lock()

    def set(self, section: str, key: str, value: Any) -> None:
        with self.lock:
            self.found.setdefault(section, {})[key] = value
            self.path.write_text(json.dumps(self.found, indent=1))

    def take(self, earlier: Path) -> None:
        """Takes over the parity and the bench of an earlier run."""
        found = json.loads(earlier.read_text())
        self.found |= {key: found[key] for key in ("parity", "bench") if key in found}


def environment(out: Path, figures: Figures, wheels: Path | None) -> bool:
    """Makes what is missing importable from the carried wheels; False where something is still missing."""
    sys.path.insert(0, str(ROOT / "src"))
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    found = sorted(wheels.glob("*.whl")) if wheels else []
    if missing and found:
        site = out / ".site"
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target", str(site)]
        subprocess.run([*pip, *map(str, found)], check=True, timeout=60)
        sys.path.insert(0, str(site))
        importlib.invalidate_caches()
        missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    os.environ["PYTHONPATH"] = os.pathsep.join([*sys.path[:2], os.environ.get("PYTHONPATH", "")])
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(out / ".compiled"))
    for name in missing:
        figures.set("environment", name, "missing")
    if missing:
        return False
    import torch

    figures.set("environment", "python", sys.version.split()[0])
    figures.set("environment", "torch", torch.__version__)
    figures.set("environment", "device", torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU")
    return True


def stage(
    kind: str, names: list[str], until: float, clock: Clock, figures: Figures, words: argparse.Namespace
) -> None:
    """Runs options in worker processes until `until` seconds of the clock are left; each gets what time there is."""
    results = words.out / f".{kind}.jsonl"
    waiting = list(names)
    while waiting and clock.left() > until + (2 if words.tiny else 15):
        command = [
            sys.executable,
            str(STEPS),
            kind,
            "--options",
            json.dumps(waiting),
            "--out",
            str(words.out),
        ]
        with running([*command, *(["--tiny"] if words.tiny else [])], words.out / "log.txt") as process:
            try:
                process.wait(max(1.0, clock.left() - until))
                end = "the process ended without a result"
            except subprocess.TimeoutExpired:
                end = "stopped: its time was over"
        done = (
            {entry.pop("name"): entry for entry in map(json.loads, results.read_text().splitlines())}
            if results.exists()
            else {}
        )
        for name in waiting:
            if name in done:
                figures.set(kind, name, done[name])
                clock.say(kind, name, brief(done[name]))
        left = [name for name in waiting if name not in done]
        if len(left) == len(waiting) or process.returncode:
            if left:
                figures.set(kind, left[0], {"passed": False, "failed": end})
                clock.say(kind, left[0], end)
            left = left[1:]
        waiting = left
    for name in waiting:
        figures.set(kind, name, {"passed": False, "failed": "not started: too little time was left"})


def check_parity(
    names: list[str], until: float, clock: Clock, figures: Figures, words: argparse.Namespace
) -> None:
    """The parity of options, several at once; the first one alone, because others need the reference that it makes."""

    def one(name: str) -> None:
        stage("parity", [name], until, clock, figures, words)

    one(names[0])
    with ThreadPoolExecutor(1 if words.tiny else AT_ONCE) as pool:
        list(pool.map(one, names[1:]))


def check(clock: Clock, figures: Figures, words: argparse.Namespace) -> None:
    """Parity and bench of every option, then a bench of the others that an option is compared with."""
    names = json.loads(words.options) if words.options else TINY_OPTIONS if words.tiny else list(OPTIONS)
    total = clock.left() if words.check else 0.45 * clock.left()
    end = clock.left() - total
    attempt("parity", clock, figures, lambda: check_parity(names, end + 0.4 * total, clock, figures, words))
    ready = [name for name in names if name in passed(figures) and can_train(option_of(name, False))]
    attempt("bench", clock, figures, lambda: stage("bench", ready, end + 0.2 * total, clock, figures, words))
    if (best := fastest(figures)["name"]) in OPTIONS:
        others = [f"{best} / {other}" for other in ("rope", "shared")] + ([] if words.tiny else [*OTHERS])
        others = [name for name in others if name not in figures.found["bench"]]
        attempt("bench", clock, figures, lambda: stage("bench", others, end + 5, clock, figures, words))


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen]:
    """A process that is gone when the block ends; what it prints is appended to a log."""
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def brief(result: dict[str, Any]) -> str:
    if "failed" in result:
        return f"failed: {result['failed'][:100]}"
    if "seconds" in result:
        return f"{1000 * result['seconds']:.2f} ms a step, {result['bytes_per_second'] / 1e6:.2f} MB/s, mfu {result['mfu'] or 0:.3f}"
    return f"{'passed' if result['passed'] else 'NOT passed'}: gradient {result['gradient']:.1e}, loss {result['loss']:.1e}"


def passed(figures: Figures) -> list[str]:
    return [name for name, result in figures.found.get("parity", {}).items() if result.get("passed")]


def can_train(option: dict[str, Any]) -> bool:
    """Whether the published recipe can ask for an option."""
    published = not option["per_head"] and option["decay"] is None
    return published and option["scope"] != "layers" and bool(option["capture"])


def fastest(figures: Figures) -> dict[str, Any]:
    """The fastest option that a recipe can ask for and whose parity holds; the ordinary step where none passed."""
    times = {
        name: result["seconds"]
        for name, result in figures.found.get("bench", {}).items()
        if "seconds" in result and name in passed(figures) and name in OPTIONS
    }
    reachable = {name: seconds for name, seconds in times.items() if can_train(option_of(name, False))}
    if not reachable:
        return {
            "name": "the ordinary step",
            "cuda_graphs": False,
            "compile": False,
            "attention": "auto",
            "parts": 4,
        }
    name = min(reachable, key=reachable.__getitem__)
    option = option_of(name, False)
    return {
        "name": name, "cuda_graphs": True, "compile": option["scope"] == "model", "attention": option["attention"],
        "parts": option["parts"], "seconds": reachable[name],
    }  # fmt: skip


def settings(words: argparse.Namespace, chosen: dict[str, Any], increments: str) -> list[str]:
    """The overrides of recipes/post.toml: the corpus that was carried, and the options that were chosen."""
    size = size_of(words.tiny)
    values: dict[str, Any] = {
        f"model.increments.{key}": value for key, value in INCREMENTS[increments].items()
    }
    values |= {f"model.{key}": value for key, value in SHAPE[size].items()}
    values |= {f"train.{key}": chosen[key] for key in ("cuda_graphs", "compile", "attention")}
    windows = BATCH[size]
    values |= {
        "train.batch_size": windows, "train.micro_batch_size": max(1, windows // chosen["parts"]),
        "train.log_every": 100, "train.checkpoint_minutes": 0.4, "train.keep": 100, "train.validation_tokens": 300_000,
    }  # fmt: skip
    if words.tiny:
        values |= {
            "train.precision": "float32",
            "train.validation_tokens": 2000,
            "train.log_every": 5,
            "optimizer.warmup": 2,
        }
        values |= {"corpus.documents": 200, "corpus.validation_documents": 20}
    else:
        values |= {"corpus.documents": 10_000_000, "corpus.validation_documents": 1000}
    files = sorted(path for path in words.corpus.iterdir() if ".jsonl" in path.name) if words.corpus else []
    sources = [f"{{ path = {json.dumps(str(path.resolve()))} }}" for path in files] or [
        '{ builtin = "python" }'
    ]
    pairs = [
        f"corpus.sources=[{', '.join(sources)}]",
        *(f"{key}={json.dumps(value)}" for key, value in values.items()),
    ]
    return [word for pair in pairs for word in ("--set", pair)]


def train(
    folder: Path,
    increments: str,
    extra: list[str],
    reserve: float,
    clock: Clock,
    figures: Figures,
    words: argparse.Namespace,
) -> Path | None:
    """Trains the recipe until `reserve` seconds are left at the latest; the folder of the last model that was saved."""
    chosen = fastest(figures)
    figures.set("train", increments, chosen)
    command = [sys.executable, "-m", "ropewalk", "train", "recipes/post.toml", "--out", str(folder)]
    clock.say("training", increments, "with", chosen["name"], extra[0])
    sets = [word for pair in extra for word in ("--set", pair)]
    with running([*command, *settings(words, chosen, increments), *sets], words.out / "log.txt") as process:
        try:
            process.wait(max(1.0, clock.left() - reserve))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(max(1.0, min(20.0, reserve / 2)))
            except subprocess.TimeoutExpired:
                clock.say("the training did not stop in time")
    saved = [folder / "model", *sorted((folder / "checkpoints").glob("step-*"), reverse=True)]
    return next((path for path in saved if (path / "config.json").exists()), None)


def bring_back(folder: Path, model: Path, name: str, out: Path, figures: Figures) -> None:
    """Float16 weights and metrics of a training, with names that say whose they are; each model folder is one .zip."""
    import shutil

    save_model(model, out / f"model-{name}")
    shutil.copy(folder / "metrics.jsonl", out / f"metrics-{name}.jsonl")
    entries = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for key in ("validation_loss", "bytes_per_second", "bytes", "loss"):
        figures.set(
            "result", f"{name} {key}", next((entry[key] for entry in reversed(entries) if key in entry), None)
        )


def bring_back_early(folder: Path, name: str, out: Path) -> None:
    """The checkpoints nearest to the fractions EARLY of a training."""
    found = {int(path.name[5:]): path for path in (folder / "checkpoints").glob("step-*")}
    for fraction in EARLY:
        if found:
            step = min(found, key=lambda step: abs(step - fraction * max(found)))
            save_model(found.pop(step), out / f"model-{name}-{step}")


def save_model(model: Path, target: Path) -> None:
    """A model folder with float16 weights, as TARGET.zip."""
    import shutil

    import torch

    from ropewalk.native import checkpoint

    trained = checkpoint.load_decoder(model)
    origin = {key: value for key, value in trained.provenance.items() if key not in ("name", "hash")}
    checkpoint.save_decoder(target, trained, origin, dtype=torch.float16)
    shutil.make_archive(str(target), "zip", target)
    shutil.rmtree(target)


def tidy(out: Path) -> None:
    """Removes what must not travel back, and says what is left; a log that is too long keeps its end."""
    import shutil

    for path in out.glob(".*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    log = out / "log.txt"
    if log.exists() and log.stat().st_size > FILE_LIMIT // 4:
        log.write_bytes(log.read_bytes()[-FILE_LIMIT // 4 :])
    files = [path for path in out.rglob("*") if path.is_file()]
    for path in files:
        print(f"{path.relative_to(out)}: {path.stat().st_size:,} bytes")
    if len(files) > 8 or any(path.stat().st_size > FILE_LIMIT for path in files):
        print("more than 8 files, or one larger than 16 MiB")


def attempt(what: str, clock: Clock, figures: Figures, call: Callable[[], Any]) -> Any:
    """Runs a stage; its failure is a figure and the next stage goes on."""
    try:
        return call()
    except Exception:
        figures.set("failures", what, traceback.format_exc()[-800:])
        clock.say(what, "failed:", traceback.format_exc().strip().splitlines()[-1])
        return None


def main() -> None:
    words = arguments()
    clock, figures = Clock(words.seconds), Figures(words.out)
    if not attempt("environment", clock, figures, lambda: environment(words.out, figures, words.wheels)):
        sys.exit(
            "gpu_lease: packages are missing, see figures.json; carry their wheels with --wheels FOLDER."
        )
    if words.figures:
        figures.take(words.figures)
    else:
        check(clock, figures, words)
    if not words.check:
        train_models(clock, figures, words)
    clock.say("end")
    tidy(words.out)


def train_models(clock: Clock, figures: Figures, words: argparse.Namespace) -> None:
    """Trains one model after another with the same steps, and brings back what each of them gives."""
    reserve = 5.0 if words.tiny else 15.0
    names = words.models.split(",")
    extra = lengths(clock.left() - reserve, len(names), figures, words)
    for name in names:
        run = words.out / f".run-{name}"
        model = attempt(name, clock, figures, lambda: train(run, name, extra, reserve, clock, figures, words))  # noqa: B023
        if model is None:
            clock.say(f"no model {name}: see log.txt")
            continue
        attempt("results", clock, figures, lambda: bring_back(run, model, name, words.out, figures))  # noqa: B023
        if name == names[0]:
            attempt("results", clock, figures, lambda: bring_back_early(run, name, words.out))  # noqa: B023


def lengths(seconds: float, models: int, figures: Figures, words: argparse.Namespace) -> list[str]:
    """Settings for how long each of some models trains, within `seconds` for all of them."""
    if words.tiny:
        return ["train.steps=20", "train.validate_every=10"]
    share = seconds / models
    each = fastest(figures).get("seconds")
    if each is None:
        return [f"train.minutes={0.9 * share / 60:.3f}", "train.validate_every=5000"]
    fitting = int(0.93 * (share - START) / each)
    return [f"train.steps={words.steps or min(STEPS_OF_RECIPE, fitting)}", "train.validate_every=5000"]


def parser(text: str | None) -> argparse.ArgumentParser:
    """The options that both scripts have."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--seconds", type=float, default=560, help="for everything")
    made.add_argument(
        "--corpus", type=Path, help="a folder of .jsonl or .jsonl.zst files (default: Python's sources)"
    )
    made.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "out")))
    made.add_argument(
        "--wheels", type=Path, default=ROOT / "wheels", help="wheels of packages that may be missing"
    )
    made.add_argument("--tiny", action="store_true", help="a small model, for a rehearsal on a CPU")
    return made


def resolved(words: argparse.Namespace) -> argparse.Namespace:
    """The arguments with absolute folders, for processes that run elsewhere."""
    words.out = words.out.resolve()
    words.out.mkdir(parents=True, exist_ok=True)
    return words


def arguments() -> argparse.Namespace:
    own = parser(__doc__)
    own.add_argument(
        "--figures", type=Path, help="figures.json of an earlier run: its parity and bench are taken over"
    )
    own.add_argument("--options", help="a JSON list of options, instead of all")
    own.add_argument("--check", action="store_true", help="parity and bench only")
    own.add_argument(
        "--models", default="per-layer", help="what to train: per-layer, rope, shared; with commas between"
    )
    own.add_argument(
        "--steps", type=int, help="of each model (default: what fits, at most the recipe's 50,000)"
    )
    return resolved(own.parse_args())


if __name__ == "__main__":
    main()
