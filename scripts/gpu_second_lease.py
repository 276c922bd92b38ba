"""A second rented GPU: the baselines of the first one's model, then a LoRA graft on a Hugging Face model.

    python scripts/gpu_second_lease.py --first FOLDER --corpus FOLDER --base FOLDER --seconds 560 --out OUT

--first: what `scripts/gpu_lease.py` brought back. The shared variant and integer RoPE are trained with its options and its
number of steps, so that the three models differ in their increments only. --base: a Hugging Face model for the graft,
which is trained for --graft-tokens tokens, together with its baseline. Not yet run on a GPU.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import gpu_lease as lease

GRAFT = {"context_length": 512, "batch_size": 32}
GRAFT_TINY = {"context_length": 32, "batch_size": 2}


def main() -> None:
    parser = lease.parser(__doc__)
    parser.add_argument("--first", type=Path, required=True, help="the folder that the first script wrote")
    parser.add_argument("--base", help="a Hugging Face model, a folder or a name")
    parser.add_argument(
        "--graft-tokens", type=int, default=10_000_000, help="that both sides of the graft read"
    )
    parser.add_argument("--graft-share", type=float, default=0.35, help="of the time, for the graft")
    words = lease.resolved(parser.parse_args())
    clock, figures = lease.Clock(words.seconds), lease.Figures(words.out)
    if not lease.attempt(
        "environment", clock, figures, lambda: lease.environment(words.out, figures, words.wheels)
    ):
        sys.exit(
            "gpu_second_lease: packages are missing, see figures.json; carry their wheels with --wheels FOLDER."
        )
    figures.take(words.first / "figures.json")
    first = json.loads((words.first / "model-per-layer" / "config.json").read_text())["provenance"]["recipe"][
        "train"
    ]
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
    """Trains a LoRA graft and its baseline with the time that is left, and keeps the report."""
    sizes = GRAFT_TINY if words.tiny else GRAFT
    steps = max(1, words.graft_tokens // (sizes["context_length"] * sizes["batch_size"]))
    folder = words.out / ".graft"
    files = sorted(path for path in words.corpus.iterdir() if ".jsonl" in path.name)
    command = [
        sys.executable, "-m", "ropewalk", "graft-train", words.base, "--how", "lora", "--steps", str(steps),
        "--batch-size", str(sizes["batch_size"]), "--context-length", str(sizes["context_length"]), "--out", str(folder),
        *[word for path in files for word in ("--corpus", str(path))],
        *(["--validation-documents", "2", "--validation-tokens", "500"] if words.tiny else []),
    ]  # fmt: skip
    clock.say("graft of", steps, "steps")
    with lease.running(command, words.out / "log.txt") as process:
        process.wait(max(1.0, clock.left() - (2 if words.tiny else 20)))
    report = json.loads((folder / "report.json").read_text())
    figures.set("result", "graft", {"steps": steps, "base": str(words.base), "report": report})


if __name__ == "__main__":
    main()
