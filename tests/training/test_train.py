"""Training: learns, stops, and goes on as if it had never stopped."""

import json
import math
import os
import random
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import fresh
import killed
import pytest
import tiny
import torch
from runs import Stop, final, metrics, same

from ropewalk.core.loss import bits_per_byte
from ropewalk.corpus import windows
from ropewalk.errors import UserError
from ropewalk.native import checkpoint
from ropewalk.native.decoder import Decoder
from ropewalk.system.signals import DeferredInterrupt
from ropewalk.training.loop import Progress, State, validate
from ropewalk.training.native_training import train
from ropewalk.training.optimizer import OptimizerConfig, Optimizers


def test_a_run_learns_and_leaves_a_model(tmp_path: Path) -> None:
    seen: list[Progress] = []
    recipe = tiny.recipe(
        steps=60, checkpoint_minutes=9, log_every=20, validate_every=30, micro_batch_size=None
    )
    folder = train(recipe, tiny.corpus(), tmp_path / "run", watch=seen.append)
    assert folder == tmp_path / "run" / "model"
    lines = metrics(tmp_path / "run")
    logged = [line for line in lines if "loss" in line]
    assert [line["step"] for line in logged] == [20, 40, 60]
    assert logged[0]["loss"] < math.log(257) and logged[-1]["loss"] < logged[0]["loss"] - 1
    assert (
        logged[-1]["bits_per_byte"] == bits_per_byte(logged[-1]["loss"]) == logged[-1]["loss"] / math.log(2)
    )
    assert logged[-1]["bytes"] == 60 * 4 * 16
    assert [s["row"] for s in logged[-1]["increments"]] == ["L0", "L1"]
    assert any(s["std"] > 0 and s["mean"] != 1 for s in logged[-1]["increments"])
    assert [line["step"] for line in lines if "validation_loss" in line] == [30, 60]
    assert [p.step for p in seen] == list(range(1, 61)) and seen[-1].steps == 60
    mean = sum(p.loss for p in seen[20:40]) / 20
    assert logged[1]["loss"] == pytest.approx(mean)
    model = checkpoint.load_decoder(folder)
    assert validate(model, tiny.corpus(), recipe) == pytest.approx(lines[-2]["validation_loss"])
    assert model.provenance["step"] == 60 and model.provenance["recipe"]["train"]["steps"] == 60


def test_two_parametrizations_see_the_same_data_in_the_same_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[torch.Tensor]] = {}
    batch = windows.batch
    for parametrization in ("integer", "bounded"):
        got = seen.setdefault(parametrization, [])

        def spy(*args: Any, got: list[torch.Tensor] = got, **kwargs: Any) -> torch.Tensor:
            got.append(batch(*args, **kwargs))
            return got[-1]

        monkeypatch.setattr("ropewalk.training.loop.windows.batch", spy)
        train(
            tiny.recipe(steps=3, model={"increments": {"parametrization": parametrization}}),
            tiny.corpus(),
            tmp_path / parametrization,
        )
    assert len(seen["integer"]) == 3
    assert all(map(torch.equal, seen["integer"], seen["bounded"]))
    assert not torch.equal(seen["integer"][0], seen["integer"][1])


@pytest.mark.parametrize("micro", [1, 3, 4])
def test_micro_batches_change_only_the_rounding(tmp_path: Path, micro: int) -> None:
    train(tiny.recipe(micro_batch_size=4), tiny.corpus(), tmp_path / "whole")
    train(tiny.recipe(micro_batch_size=micro), tiny.corpus(), tmp_path / "parts")
    for name, whole in final(tmp_path / "whole").items():
        assert torch.allclose(whole, final(tmp_path / "parts")[name], atol=2e-3), name
    losses = [[line["loss"] for line in metrics(tmp_path / n) if "loss" in line] for n in ("whole", "parts")]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


@pytest.mark.parametrize("parametrization", ["integer", "positive", "bounded", "signed", "constant"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path: Path, parametrization: str, optimizer: str) -> None:
    how = {
        "model": {"increments": {"parametrization": parametrization, "hidden_size": 4}},
        "optimizer": {"name": optimizer},
    }
    recipe = tiny.recipe(steps=5, checkpoint_minutes=9, log_every=2, **how)
    train(recipe, tiny.corpus(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tiny.corpus(), tmp_path / "parts", watch=Stop(3))
    assert [folder.name for folder in (tmp_path / "parts" / "checkpoints").iterdir()] == ["step-00000003"]
    assert not (tmp_path / "parts" / "model").exists()
    train(recipe, tiny.corpus(), tmp_path / "parts", resume=True)
    same(tmp_path / "whole", tmp_path / "parts")


def test_a_run_killed_at_ten_random_moments_equals_one_that_was_not(tmp_path: Path) -> None:
    """Real processes, real SIGKILL."""
    train(killed.RECIPE, tiny.corpus(), tmp_path / "whole")
    context = fresh.context()
    chance = random.Random(11)
    kills, steps = 0, []
    while True:
        ear, tell = context.Pipe(duplex=False)
        process = context.Process(target=killed.go_on, args=(str(tmp_path / "parts"), tell))
        process.start()
        tell.close()
        if kills < 10:
            heard, pause = chance.randint(0, 2), chance.uniform(0, 0.06)
            if kills % 2:  # a step is told before it is saved: these kills lose one, however fast the machine
                heard, pause = max(1, heard), 0.0
            _hear(ear, heard, steps)
            process.join(pause)
            process.kill()
        _hear(ear, None, steps)
        process.join()
        ear.close()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        kills += 1
    assert kills == 10
    assert len(steps) > killed.STEPS, "no step was lost to a kill, so nothing was shown"
    same(tmp_path / "whole", tmp_path / "parts")
    assert not list((tmp_path / "parts").rglob(".step-*"))


def _hear(ear: Connection, count: int | None, steps: list[int]) -> None:
    """Takes `count` steps that a process tells, or all until it ends."""
    try:
        while count is None or count > 0:
            steps.append(ear.recv())
            count = None if count is None else count - 1
    except EOFError:
        pass


@pytest.mark.parametrize(("call", "apart"), [("os.fsync", 4), ("os.replace", 1)])
def test_a_kill_at_any_write_leaves_a_run_to_go_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, apart: int
) -> None:
    """Every place where a step's checkpoint touches the disk, each made to end the run there and then."""

    class Killed(BaseException):
        pass

    train(tiny.recipe(steps=3), tiny.corpus(), tmp_path / "whole")
    real, died = getattr(os, call.removeprefix("os.")), 0
    for moment in range(0, 60, apart):
        folder, left = tmp_path / str(moment), [moment]

        def dying(*args: Any, left: list[int] = left) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return real(*args)

        monkeypatch.setattr(call, dying)
        monkeypatch.setattr("ropewalk.system.folders.shutil.rmtree", lambda *args, **kwargs: None)
        try:
            train(tiny.recipe(steps=3), tiny.corpus(), folder)
        except Killed:
            died += 1
        monkeypatch.undo()
        train(tiny.recipe(steps=3), tiny.corpus(), folder, resume=(folder / "recipe.json").exists())
        same(tmp_path / "whole", folder)
        assert not list(folder.rglob(".step-*")) and not list(folder.rglob(".model-*"))
        if left[0] >= 0:
            break
    assert died >= 5


def test_ctrl_c_waits_for_the_step_and_a_second_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ropewalk.system.signals.SAME_SECONDS", -1.0)  # every signal is a request of its own
    recipe = tiny.recipe(steps=5, checkpoint_minutes=9)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tiny.corpus(), tmp_path / "run", watch=Stop(2, times=2))
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
    assert signal.getsignal(signal.SIGINT) is before
    with DeferredInterrupt() as interrupt:
        assert not interrupt.asked
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.asked and not interrupt.hurried
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.hurried


def test_ctrl_c_inside_a_step_saves_whole_steps_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny.recipe(steps=4, checkpoint_minutes=9)
    train(recipe, tiny.corpus(), tmp_path / "whole")
    step, calls = Optimizers.step, []

    def pressed(self: Optimizers, fraction: float) -> float:
        calls.append(fraction)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, fraction)

    monkeypatch.setattr(Optimizers, "step", pressed)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tiny.corpus(), tmp_path / "parts")
    assert [folder.name for folder in (tmp_path / "parts" / "checkpoints").iterdir()] == ["step-00000002"]
    train(recipe, tiny.corpus(), tmp_path / "parts", resume=True)
    same(tmp_path / "whole", tmp_path / "parts")


def poison(monkeypatch: pytest.MonkeyPatch, step: int, what: str) -> None:
    """Makes one step of the next run go wrong."""
    real = Optimizers.step
    counted: list[int] = []

    def step_then_spoil(self: Optimizers, fraction: float) -> float:
        counted.append(1)
        if len(counted) == step and what == "gradient":
            self.named["embedding"].grad[0, 0] = math.nan  # type: ignore[index]
        norm = real(self, fraction)
        if len(counted) == step - 1:
            with torch.no_grad():
                if what == "loss":
                    self.named["embedding"].fill_(math.nan)
                if what == "increments":
                    self.named["increment_modules.1.output.bias"].fill_(3e4)
        return norm

    monkeypatch.setattr(Optimizers, "step", step_then_spoil)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("loss", "the increments of L0 ran away|the loss became nan"),
        ("gradient", "stopped at step 4: the gradient became nan; the last good checkpoint is step-00000003"),
        ("increments", r"stopped at step 4: the increments of L1 ran away \(mean 3e\+04\)"),
    ],
)
def test_nonsense_stops_the_run_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, said: str
) -> None:
    recipe = tiny.recipe(steps=6, model={"increments": {"parametrization": "signed", "hidden_size": 4}})
    train(recipe, tiny.corpus(), tmp_path / "whole")
    poison(monkeypatch, 4, what)
    with pytest.raises(UserError, match=said):
        train(recipe, tiny.corpus(), tmp_path / "run")
    monkeypatch.undo()
    newest = max((tmp_path / "run" / "checkpoints").iterdir())
    assert newest.name == "step-00000003"
    if what == "gradient":  # the others were made to save the poison that only the next step can notice
        assert all(torch.isfinite(p).all() for p in checkpoint.load_decoder(newest).parameters())
        train(recipe, tiny.corpus(), tmp_path / "run", resume=True)
        same(tmp_path / "whole", tmp_path / "run")


def test_a_gradient_that_is_no_number_leaves_the_weights_alone() -> None:
    model = Decoder(tiny.config(), seed=0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, math.inf)
    assert not math.isfinite(Optimizers(model, OptimizerConfig()).step(1.0))
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_metrics_of_steps_done_again_are_forgotten(tmp_path: Path) -> None:
    recipe = tiny.recipe(steps=4, checkpoint_minutes=9)
    train(recipe, tiny.corpus(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tiny.corpus(), tmp_path / "run", watch=Stop(2))
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "loss": 1.0}\nnot json\n{"step": 3, "lo')
    train(recipe, tiny.corpus(), tmp_path / "run", resume=True)
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "run")


def test_another_plan_is_content(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tiny.recipe(steps=3, checkpoint_minutes=9)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tiny.corpus(), tmp_path, watch=Stop(1))
    path = tmp_path / "checkpoints" / "step-00000001" / checkpoint.TRAINING
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "plan": {**content["plan"], "threads": 7}}))
    train(recipe, tiny.corpus(), tmp_path, resume=True)
    said = capsys.readouterr().err
    assert (
        "resuming under another plan (threads was 7 and is 1): the run continues, but not bit for bit" in said
    )


def test_one_folder_has_one_run_at_a_time(tmp_path: Path) -> None:
    recipe = tiny.recipe(steps=2)

    def second(progress: Progress) -> None:
        with pytest.raises(UserError, match="another process is training in"):
            train(recipe, tiny.corpus(), tmp_path, resume=True)

    train(recipe, tiny.corpus(), tmp_path, watch=second)


def test_a_folder_keeps_its_run(tmp_path: Path) -> None:
    train(
        tiny.recipe(steps=1), tiny.corpus(), tmp_path / "run", resume=True
    )  # starts where there is nothing yet
    with pytest.raises(UserError, match="already holds a run; add --resume"):
        train(tiny.recipe(steps=1), tiny.corpus(), tmp_path / "run")
    with pytest.raises(UserError, match=r"started with another recipe \(section train differs\)"):
        train(tiny.recipe(steps=2), tiny.corpus(), tmp_path / "run", resume=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write into .*file.*; name a writable folder"):
        train(tiny.recipe(steps=1), tiny.corpus(), tmp_path / "file")


def test_a_run_of_an_older_version_that_knew_fewer_settings_goes_on(tmp_path: Path) -> None:
    train(tiny.recipe(steps=1), tiny.corpus(), tmp_path)
    content = json.loads((tmp_path / "recipe.json").read_text())
    del content["recipe"]["model"]["decay"], content["recipe"]["corpus"]["sources"][0]["data_files"]
    (tmp_path / "recipe.json").write_text(json.dumps(content))
    train(tiny.recipe(steps=1), tiny.corpus(), tmp_path, resume=True)
    (tmp_path / "recipe.json").write_text('{"recipe": ')
    with pytest.raises(UserError, match=r"recipe\.json is damaged"):
        train(tiny.recipe(steps=1), tiny.corpus(), tmp_path, resume=True)


def test_a_changed_corpus_is_refused(tmp_path: Path) -> None:
    train(tiny.recipe(steps=1), tiny.corpus(), tmp_path)
    other = tiny.corpus()
    other.info["digests"]["train"] = "other"
    with pytest.raises(UserError, match="the corpus is not the one"):
        train(tiny.recipe(steps=1), other, tmp_path, resume=True)


def test_a_damaged_checkpoint_is_skipped_for_an_older_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tiny.recipe(steps=4, keep=3)
    train(recipe, tiny.corpus(), tmp_path / "whole")
    train(recipe, tiny.corpus(), tmp_path / "run")
    folders = sorted((tmp_path / "run" / "checkpoints").iterdir())
    assert [folder.name for folder in folders] == ["step-00000002", "step-00000003", "step-00000004"]
    (folders[2] / checkpoint.OPTIMIZER).write_bytes(b"short")
    (folders[1] / checkpoint.TRAINING).write_text('{"state": {}, "plan": 3}')
    train(recipe, tiny.corpus(), tmp_path / "run", resume=True)
    said = capsys.readouterr().err
    assert "skipping step-00000004" in said and "skipping step-00000003" in said
    same(tmp_path / "whole", tmp_path / "run")
    for folder in (tmp_path / "run" / "checkpoints").iterdir():
        (folder / checkpoint.CONFIG).unlink()
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with pytest.raises(UserError, match=r"none of the checkpoints in .* is whole"):
        train(recipe, tiny.corpus(), tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_metrics_that_cannot_be_written_stop_the_run_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"cannot write .*metrics\.jsonl: No space left on device"):
        train(tiny.recipe(), tiny.corpus(), tmp_path)


def test_a_frozen_table_comes_from_a_file(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    def frozen(table: str | None) -> Any:
        return tiny.recipe(steps=1, model={"increments": {"parametrization": "frozen", "table": table}})

    table = torch.randn(257, 1)
    save_file({"increments.0": table, "increments.1": table + 1}, tmp_path / "table.safetensors")
    made = checkpoint.load_decoder(
        train(frozen(str(tmp_path / "table.safetensors")), tiny.corpus(), tmp_path / "run")
    )
    assert torch.equal(made.increment_modules[1].table, table + 1)
    save_file({"increments.0": table}, tmp_path / "one.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    for name, said in [
        (None, "needs model.increments.table"),
        ("none", "needs"),
        ("one", "has 1 tables"),
        ("bad", "not a readable"),
    ]:
        path = None if name is None else str(tmp_path / f"{name}.safetensors")
        with pytest.raises(UserError, match=said):
            train(frozen(path), tiny.corpus(), tmp_path / f"run-{name}")


def test_the_clock_of_a_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(10_000))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(ticks)))
    recipe = tiny.recipe(steps=2, checkpoint_minutes=9)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tiny.corpus(), tmp_path, watch=Stop(1))
    seen: list[Progress] = []
    train(recipe, tiny.corpus(), tmp_path, resume=True, watch=seen.append)
    assert seen[0].seconds == 2.0
    assert State().seconds == 0.0
