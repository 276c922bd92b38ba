import os
import subprocess
import sys
from dataclasses import replace

import pytest
from tiny import config

from ropewalk.errors import UserError
from ropewalk.native.decoder import Decoder
from ropewalk.training import execution


def test_wishes_that_this_machine_cannot_grant_are_told() -> None:
    plan, notes = execution.plan_execution("cpu", "float32", compile=False, graphs=True)
    assert not plan.graphs and not plan.compiled
    assert notes == ["running without CUDA graphs: they need a GPU and train.compile"]


def test_without_a_gpu_nothing_is_fused_and_that_is_said() -> None:
    plan, notes = execution.plan_execution("cpu", "float32", compile=False, fused_rotary=True)
    assert not plan.fused_rotary
    assert notes == ["running without the fused rotary kernel: it needs a GPU"]


def test_a_plan_reaches_every_rotation() -> None:
    plan, _ = execution.plan_execution("cpu", "float32", compile=False)
    for fused in (True, False):
        model = execution.apply_plan(replace(plan, fused_rotary=fused), Decoder(config(), seed=0))
        assert [layer.attention.encoding.fused for layer in model.layers] == [fused, fused]


def test_without_a_compiler_training_goes_on_eager_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "compiler_problem", lambda: "torch could not compile (no g++)")
    plan, notes = execution.plan_execution("cpu", "float32", compile=True)
    assert not plan.compiled
    assert notes == ["running without compilation, about a sixth slower: torch could not compile (no g++)"]


@pytest.mark.parametrize(("device", "said"), [("tpu", "cpu"), ("cuda", "no GPU")])
def test_a_device_that_is_not_there(device: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution.torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=said):
        execution.plan_execution(device)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, ["PASSIVE", "1000"]),
        ({"GOMP_SPINCOUNT": "7"}, ["PASSIVE", "7"]),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, ["ACTIVE", "None"]),
    ],
)
def test_waiting_threads_spin_shortly_unless_set_otherwise(given: dict[str, str], found: list[str]) -> None:
    unset = {
        key: value for key, value in os.environ.items() if key not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    }
    program = (
        "from ropewalk.system.thread_waiting import limit_spinning; limit_spinning()\n"
        "import os, sys; print(*map(os.environ.get, ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')), 'torch' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], env=unset | given, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == [*found, "False"]


def test_importing_the_package_leaves_the_environment_alone() -> None:
    program = "import os; before = dict(os.environ); import ropewalk; print(before == dict(os.environ))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["True"]
