"""Several processes: they train what one trains, with any number of them, and whatever stops one stops all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fresh
import pytest
import team
import tiny
import torch
from safetensors.torch import load_file

from ropewalk.errors import UserError
from ropewalk.training.distributed import SINGLE_PROCESS, ProcessGroup, check_batch
from ropewalk.training.memory_estimate import estimate
from ropewalk.training.native_training import train
from ropewalk.training.run import Run

HERE = Path(__file__).parent


@pytest.fixture(scope="module", autouse=True)
def _found_by_others() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join((str(HERE), str(HERE.parent))), prepend=os.pathsep)
        yield


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of it."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    train(team.recipe(), tiny.corpus(), folder)
    return folder


def curve(folder: Path) -> list[tuple[int, str, float]]:
    """Every loss of a run, on training and on validation windows, by step."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [
        (line["step"], key, line[key]) for line in lines for key in ("loss", "validation_loss") if key in line
    ]


def same(a: Path, b: Path) -> None:
    """Both runs have the same curve to 1e-4, and end with the same weights to 1e-3."""
    first, second = curve(a), curve(b)
    assert [point[:2] for point in first] == [point[:2] for point in second]
    assert [point[2] for point in first] == pytest.approx([point[2] for point in second], abs=1e-4)
    ours, theirs = load_file(a / "model" / "model.safetensors"), load_file(b / "model" / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-3) for name in ours)


@pytest.mark.parametrize(("ranks", "shard"), [(2, False), (4, False), (2, True)])
def test_several_processes_train_as_one(ranks: int, shard: bool, alone: Path, tmp_path: Path) -> None:
    codes, said = team.together(ranks, tmp_path / "run", shard=shard)
    assert codes == [0] * ranks, said
    same(alone, tmp_path / "run")
    plan = json.loads((tmp_path / "run" / "recipe.json").read_text())["plan"]
    assert (plan["processes"], plan["shard"]) == (ranks, shard)
    assert said[0].splitlines() == [f"step {i}" for i in range(1, 9)] and not any(said[1:])


def test_a_run_goes_on_with_any_number_of_processes(alone: Path, tmp_path: Path) -> None:
    """One, two, four that share the model, one: stopped by the last one's SIGTERM, which all of them heed."""
    folder = tmp_path / "run"
    for ranks, trouble, shard in (
        (1, "stopped", False), (2, "stopped", False), (4, "stopped", True), (1, None, False)
    ):  # fmt: skip
        codes, said = team.together(ranks, folder, trouble=trouble, shard=shard, resume=True)
        assert codes == [130 if trouble else 0] * ranks, said
        steps = [line for line in said[0].splitlines() if line.startswith("step")]
        assert len(steps) == 2
    assert "resuming under another plan" in said[0] and "processes was 4 and is 1" in said[0]
    same(alone, folder)


@pytest.mark.parametrize(
    ("trouble", "content"),
    [
        ("killed", "exited or stopped responding"),
        ("broken", "ArithmeticError: out of the blue"),
        ("refused", "ropewalk: process 1 of 2: my disk is full"),
    ],
)
def test_whatever_stops_one_process_stops_all(
    trouble: str, content: str, alone: Path, tmp_path: Path
) -> None:
    codes, said = team.together(2, tmp_path / "run", trouble=trouble)
    assert codes == [1, -9 if trouble == "killed" else 1], said
    assert "".join(said).count(content) == 1
    assert ("ropewalk:" in said[0]) == (trouble == "killed"), "one of them says why, not all"
    assert not (tmp_path / "run" / "model").exists()
    if trouble == "killed":
        assert "the same command with --resume continues" in said[0]
        codes, said = team.together(2, tmp_path / "run", resume=True)
        assert codes == [0, 0] and said[0].splitlines()[0] == "step 4", said
        same(alone, tmp_path / "run")


def test_a_folder_in_use_is_refused_once(tmp_path: Path) -> None:
    with Run(tmp_path / "run", team.recipe(), {}, tiny.corpus(), resume=False):
        codes, said = team.together(2, tmp_path / "run", resume=True)
    assert codes == [1, 1]
    assert said[0].count("another process is training in") == 1 and not said[1]


def test_what_cannot_be_shared_is_refused() -> None:
    with pytest.raises(
        UserError, match="64 windows cannot be shared evenly by 3 processes; choose a multiple"
    ):
        check_batch(ProcessGroup(0, 3), 64, shard=False)
    with pytest.raises(UserError, match="sharding needs several processes; start the command with: torchrun"):
        check_batch(SINGLE_PROCESS, 64, shard=True)


def test_the_memory_of_a_large_model_is_estimated_with_a_command_that_fits() -> None:
    shape = {
        "hidden_size": 4096,
        "num_heads": 32,
        "num_layers": 32,
        "intermediate_size": 11008,
        "context_length": 1024,
    }
    large = team.recipe(model=shape, micro_batch_size=1)
    needed = estimate(large)
    assert needed.large and not estimate(team.recipe()).large
    assert needed.weights == needed.gradients == needed.optimizer / 2 == 4 * needed.parameters
    assert needed.parameters == pytest.approx(6.5e9, rel=0.02)  # 32 layers of 4 x 4096^2 + 3 x 4096 x 11008
    assert "over 80 GB devices: torchrun --nproc-per-node 3 -m ropewalk train ... --shard" in needed.describe(
        1, "train"
    )
    assert estimate(large, ranks=4, shard=True).weights == needed.weights / 4
    assert estimate(large, ranks=4).weights == needed.weights
    muon = large.model_copy(update={"optimizer": large.optimizer.model_copy(update={"name": "muon"})})
    assert estimate(muon).optimizer < 0.51 * needed.optimizer


def test_torchrun_trains_and_one_speaks(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("the cat sat on the mat. " * 200)
    (tmp_path / "more.txt").write_text("the dog lay on the log. " * 200)
    (tmp_path / "recipe.toml").write_text(
        f"[corpus]\nsources = [{{ path = '{tmp_path}' }}]\nvalidation_documents = 1\n"
        "[model]\nhidden_size = 16\nnum_heads = 2\nnum_layers = 1\ncontext_length = 16\n"
        "[train]\nsteps = 2\nbatch_size = 2\ncompile = false\nprecision = 'float32'\ndevice = 'cpu'\n"
        "validation_tokens = 64\n"
    )
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m", "ropewalk"]
    words = ["train", str(tmp_path / "recipe.toml"), "--out", str(tmp_path / "run"), "--resume"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ROPEWALK_CACHE": str(tmp_path / "cache")}
    ended = subprocess.run(
        [sys.executable, *launch, *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=fresh.PATIENCE,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert ended.stdout.count("the model is in") == 1 and ended.stderr.count("step 2/2") == 1
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["plan"]["processes"] == 2
    assert len(list((tmp_path / "cache" / "corpora").glob("[!.]*"))) == 1
