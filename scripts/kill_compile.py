"""Kills trainings while they compile: `python scripts/kill_compile.py --rounds 50`.

In each round two processes start the same training at once, of a shape that was not compiled before, with one cache folder
for all rounds. Each of them is killed at a random time, alone or together with the compilers that it has started. Then
the training is started once more: it must end well, compiled, without a word about the compiler, and leave nothing of the
killed ones in the cache. Prints one line for each round; exit status 1 if any later run did not work.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPE = """
[corpus]
root = {root}
sources = [{{ path = "texts.jsonl" }}]
validation_documents = 4
[model]
hidden_size = 32
num_heads = 2
num_layers = 1
context_length = {context}
increments = {{ hidden_size = 8 }}
[train]
steps = 2
batch_size = 2
device = "cpu"
precision = "float32"
validation_tokens = 64
"""


def start(folder: Path, recipe: Path, out: str) -> subprocess.Popen[str]:
    """A training in a process group of its own, so that its compilers can be killed with it."""
    known = {
        name: value for name, value in os.environ.items() if not name.startswith(("TORCHINDUCTOR", "TRITON"))
    }
    return subprocess.Popen(
        [sys.executable, "-m", "ropewalk", "train", str(recipe), "--out", str(folder / out)],
        env=known | {"ROPEWALK_CACHE": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[str], group: bool) -> bool:
    """Kills a training; False where it had ended already."""
    if process.poll() is not None:
        return False
    if group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    return True


def one_round(
    folder: Path, number: int, longest: float, chance: random.Random
) -> tuple[list[str], str, float]:
    """What happened to the two trainings, what was wrong with the one after them, and how long that one took."""
    recipe = folder / f"{number}.toml"
    recipe.write_text(RECIPE.format(root=json.dumps(str(folder)), context=16 + 2 * number))
    began = time.monotonic()
    pair = [start(folder, recipe, f"{number}-{name}") for name in "ab"]
    moments = sorted((chance.uniform(1.0, longest), i, chance.random() < 0.5) for i in range(2))
    events = []
    for moment, i, group in moments:
        time.sleep(max(0.0, began + moment - time.monotonic()))
        killed = kill(pair[i], group)
        how = (
            f"killed{' with its compilers' if group else ''} after {moment:.1f} s"
            if killed
            else "ended before"
        )
        events.append(how)
    for process in pair:
        process.communicate()
    began = time.monotonic()
    later = start(folder, recipe, f"{number}-later")
    said, _ = later.communicate()
    problem = ""
    if later.returncode != 0:
        problem = f"exit status {later.returncode}: {said.strip().splitlines()[-1:]}"
    elif "without compilation" in said or "Traceback" in said:
        problem = f"not compiled: {said.strip().splitlines()[:3]}"
    elif left := [path.name for path in (folder / "cache" / "compiled").glob(".*")]:
        problem = f"left in the cache: {', '.join(left)}"
    return events, problem, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance, failed = random.Random(given.seed), 0
    with tempfile.TemporaryDirectory(prefix="kill-compile-") as place:
        folder = Path(place)
        texts = [
            json.dumps({"text": f"document {i}: the ropes are laid {i} fathoms apart."}) for i in range(20)
        ]
        (folder / "texts.jsonl").write_text("\n".join(texts) + "\n")
        longest = 20.0
        for number in range(given.rounds):
            events, problem, longest = one_round(folder, number, longest, chance)
            failed += bool(problem)
            print(
                f"{number + 1}: {'; '.join(events)}; then {problem or f'well, {longest:.1f} s'}", flush=True
            )
    print(f"{given.rounds - failed} of {given.rounds} later runs worked (seed {given.seed})")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
