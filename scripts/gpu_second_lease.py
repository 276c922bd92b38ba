"""A second rented GPU: the baselines of the first one's model, then a LoRA graft on a Hugging Face model.

    python scripts/gpu_second_lease.py --first FOLDER --corpus FOLDER --base FOLDER --seconds 560 --out OUT

--first: what `scripts/gpu_lease.py` brought back. The shared variant and integer RoPE are trained with its options and its
number of steps, so that the three models differ in their increments only. --base: a Hugging Face model for the LoRA graft, a
folder or the pieces that `scripts/model_pieces.py` cut it into; it is trained for the published number of tokens, or as
many as fit into the time, together with its baseline. Not yet run on a GPU.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import gpu_lease as lease
from model_pieces import NAME, join

# The published graft: shared increments, gaps after tokens, LoRA for 2,000 steps of 32 windows of 1,024 tokens.
GRAFT = {"context_length": 1024, "batch_size": 32, "steps": 2000, "timed": 12}
GRAFT_TINY = {"context_length": 32, "batch_size": 2, "steps": 4, "timed": 4}
GRAFT_OPTIONS = ("--trainable", "lora", "--per", "shared", "--gap", "after")


def main() -> None:
    parser = lease.parser(__doc__)
    parser.add_argument("--first", type=Path, required=True, help="the folder that the first script wrote")
    parser.add_argument("--base", type=Path, help="a Hugging Face model's folder, or its pieces")
    parser.add_argument("--graft-share", type=float, default=0.5, help="of the time, for the graft")
    words = lease.resolved(parser.parse_args())
    clock, figures = lease.Clock(words.seconds), lease.Figures(words.out)
    if not lease.attempt(
        "environment", clock, figures, lambda: lease.environment(words.out, figures, words.wheels)
    ):
        sys.exit(
            "gpu_second_lease: packages are missing, see figures.json; carry their wheels with --wheels FOLDER."
        )
    figures.take(words.first / "figures.json")
    with zipfile.ZipFile(words.first / "model-per-layer.zip") as file:
        first = json.loads(file.read("config.json"))["provenance"]["recipe"]["train"]
    extra = [f"train.steps={first['steps']}", f"train.validate_every={first['validate_every']}"]
    kept = words.graft_share * words.seconds if words.base else 0.0
    for index, name in enumerate(("shared", "rope")):
        remaining = clock.left() - kept
        reserve = kept + remaining / 2 if index == 0 else kept + (5 if words.tiny else 20)
        lease.attempt(name, clock, figures, lambda: native(name, extra, reserve, clock, figures, words))  # noqa: B023
    if words.base:
        lease.attempt("graft", clock, figures, lambda: graft(clock, figures, words))
    clock.say("end")
    lease.tidy(words.out)


def native(
    name: str, extra: list[str], reserve: float, clock: lease.Clock, figures: lease.Figures, words
) -> None:  # type: ignore[no-untyped-def]
    """Trains one baseline and keeps what comes back of it."""
    run = words.out / f".run-{name}"
    model = lease.train(run, name, extra, reserve, clock, figures, words)
    if model is None:
        raise RuntimeError(f"no model of {name} was saved, see log.txt")
    lease.bring_back(run, model, name, words.out, figures)
    (
        words.out / f"metrics-{name}.jsonl"
    ).unlink()  # 8 files come back: the two models' and the graft's report
    shutil.rmtree(run)


def graft(clock: lease.Clock, figures: lease.Figures, words) -> None:  # type: ignore[no-untyped-def]
    """Trains a LoRA graft and its baseline for the published steps, or as many as fit, and keeps the report."""
    sizes, reserve = (GRAFT_TINY, 2.0) if words.tiny else (GRAFT, 20.0)
    base = words.base
    if any(NAME.fullmatch(path.name) for path in base.iterdir()):
        base = join(base, words.out / ".base")
    began = time.monotonic()
    train_graft(base, sizes["timed"], words.out / ".timed", clock.left() - reserve, words)
    metrics = (words.out / ".timed" / "grafted" / "metrics.jsonl").read_text().splitlines()
    seconds = seconds_a_step([json.loads(line) for line in metrics])
    start = time.monotonic() - began - 2 * sizes["timed"] * seconds  # the weights, the corpus, the validation
    fitting = int((0.9 * (clock.left() - reserve) - max(0.0, start)) / (2 * seconds))  # two sides are trained
    steps = max(1, min(sizes["steps"], fitting))
    clock.say(f"graft of {steps} steps, {1000 * seconds:.0f} ms each")
    train_graft(base, steps, words.out / ".graft", clock.left() - reserve, words)
    report = json.loads((words.out / ".graft" / "report.json").read_text())
    tokens = steps * sizes["batch_size"] * sizes["context_length"]
    figures.set("result", "graft", {"steps": steps, "tokens": tokens, "seconds": seconds, "report": report})


def train_graft(base: Path, steps: int, folder: Path, seconds: float, words) -> None:  # type: ignore[no-untyped-def]
    """Runs `ropewalk graft-train`; RuntimeError where it fails or takes longer than `seconds`."""
    sizes = GRAFT_TINY if words.tiny else GRAFT
    files = sorted(path for path in words.corpus.iterdir() if ".jsonl" in path.name)
    command = [
        sys.executable, "-m", "ropewalk", "graft-train", str(base), *GRAFT_OPTIONS, "--steps", str(steps),
        "--batch-size", str(sizes["batch_size"]), "--context-length", str(sizes["context_length"]), "--out", str(folder),
        "--set", "train.log_every=1", *[word for path in files for word in ("--corpus", str(path))],
        *(["--validation-documents", "2", "--validation-tokens", "500", "--precision", "float32"] if words.tiny else []),
    ]  # fmt: skip
    with lease.running(command, words.out / "log.txt") as process:
        try:
            status = process.wait(max(1.0, seconds))
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"the graft of {steps} steps did not end in time") from error
    if status:
        raise RuntimeError("the graft's training failed, see log.txt")


def seconds_a_step(metrics: list[dict]) -> float:
    """The time of a step, from a run's metrics, without its first third, which compiles and allocates."""
    ends = [
        (entry["step"], entry["tokens"] / entry["tokens_per_second"])
        for entry in metrics
        if "tokens_per_second" in entry
    ]
    (first, began), (last, ended) = ends[len(ends) // 3], ends[-1]
    return (ended - began) / (last - first)


if __name__ == "__main__":
    main()
