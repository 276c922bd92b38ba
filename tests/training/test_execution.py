import os
import subprocess
import sys

import pytest

from ropewalk.errors import UserError
from ropewalk.training import execution


def test_wishes_that_this_machine_cannot_grant_are_content() -> None:
    plan, notes = execution.plan_execution("cpu", "float32", compile=False, graphs=True)
    assert plan.graphs and not plan.compiled
    assert notes == ["running the step of train.cuda_graphs without a CUDA graph: that needs a GPU"]


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
