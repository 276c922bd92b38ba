"""What test_train.py runs in processes of its own, to be killed. Imported by them, so it must have no side effects."""

from multiprocessing.connection import Connection
from pathlib import Path

import tiny
import torch

from ropewalk.training.loop import Progress
from ropewalk.training.native_training import train

STEPS = 90
RECIPE = tiny.recipe(
    steps=STEPS, model={"increments": {"hidden_size": 4}}, optimizer={"name": "muon"}, log_every=2
)

torch.set_num_threads(1)
torch.optim.AdamW(
    [torch.zeros(1, requires_grad=True)]
).step()  # what a first step imports, once for all processes


def go_on(folder: str, tell: Connection) -> None:
    """Starts the run in `folder`, or goes on with it; tells each step."""
    torch.set_num_threads(1)

    def watch(progress: Progress) -> None:
        tell.send(progress.step)

    started = (Path(folder) / "recipe.json").exists()
    train(RECIPE, tiny.corpus(), Path(folder), resume=started, watch=watch)
