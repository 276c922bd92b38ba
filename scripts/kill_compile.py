"""Kills training runs while they compile: `python scripts/kill_compile.py --rounds 50`.

In each round two processes start the same training at once, of a shape that was not compiled before, with one cache folder
for all rounds. Each of them is killed at a random time, alone or together with the compilers that it has started. Then
the training is started once more: it must end well, compiled, without a word about the compiler, and leave nothing of the
killed ones in the cache. Prints one line for each round; exit status 1 if any later run did not work.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
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


MODULES = [
    "torch._dynamo",
    "torch._inductor.compile_fx",
    "ropewalk.cli.train",
    "ropewalk.training.native_training",
]
"""Imported once, by the server that all training runs are forked from; nothing is compiled there."""


class Training:
    """A training run in a process group of its own, so that its compilers can be killed with it; `said` is what it prints."""

    def __init__(self, folder: Path, recipe: Path, out: str) -> None:
        self.said = folder / f"{out}.txt"
        context = multiprocessing.get_context("forkserver")
        self.process = context.Process(target=train, args=(recipe, folder / out, self.said))
        self.process.start()

    def kill(self, group: bool) -> bool:
        """Kills it; False where it had ended already."""
        pid, alive = self.process.pid, self.process.is_alive()
        assert pid is not None
        if alive:
            try:
                (os.killpg if group else os.kill)(pid, signal.SIGKILL)
            except ProcessLookupError:  # its group is not made yet
                os.kill(pid, signal.SIGKILL)
        self.process.join()
        return alive


def train(recipe: Path, out: Path, said: Path) -> None:
    """What a training's process runs: the command, as from a shell."""
    os.setsid()
    with said.open("w") as file:
        for handle in (1, 2):
            os.dup2(file.fileno(), handle)
    from ropewalk import cli

    sys.argv = ["ropewalk", "train", str(recipe), "--out", str(out)]
    cli.main()


def one_round(
    folder: Path, number: int, longest: float, chance: random.Random
) -> tuple[list[str], str, float]:
    """What happened to the two training runs, what was wrong with the one after them, and how long that one took."""
    recipe = folder / f"{number}.toml"
    recipe.write_text(RECIPE.format(root=json.dumps(str(folder)), context=16 + 2 * number))
    began = time.monotonic()
    pair = [Training(folder, recipe, f"{number}-{name}") for name in "ab"]
    moments = sorted((chance.uniform(0.5, longest), i, chance.random() < 0.5) for i in range(2))
    events = []
    for moment, i, group in moments:
        time.sleep(max(0.0, began + moment - time.monotonic()))
        how = f"killed{' with its compilers' if group else ''} after {moment:.1f} s"
        events.append(how if pair[i].kill(group) else "ended before")
    began = time.monotonic()
    later = Training(folder, recipe, f"{number}-later")
    later.process.join()
    said, problem = later.said.read_text(), ""
    if later.process.exitcode != 0:
        problem = f"exit status {later.process.exitcode}: {said.strip().splitlines()[-1:]}"
    elif "without compilation" in said or "Traceback" in said:
        problem = f"not compiled: {said.strip().splitlines()[:3]}"
    elif left := [path.name for path in (folder / "cache" / "compiled").glob(".*")]:
        problem = f"left in the cache: {', '.join(left)}"
    elif not list((folder / "cache" / "compiled").glob("*/files.json")):
        problem = "nothing was compiled"
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
        for name in [name for name in os.environ if name.startswith(("TORCHINDUCTOR", "TRITON"))]:
            del os.environ[name]
        os.environ["ROPEWALK_CACHE"] = str(folder / "cache")
        multiprocessing.get_context("forkserver").set_forkserver_preload(MODULES)
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
