import pytest

from ropewalk import execution
from ropewalk.errors import UserError


def test_wishes_that_this_machine_cannot_grant_are_told() -> None:
    plan, notes = execution.plan("cpu", "float32", compile=False, graphs=True)
    assert not plan.graphs and not plan.compiled
    assert notes == ["running without CUDA graphs: they need a GPU and train.compile"]


def test_without_a_compiler_training_goes_on_eager_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "compiler_problem", lambda: "torch could not compile (no g++)")
    plan, notes = execution.plan("cpu", "float32", compile=True)
    assert not plan.compiled
    assert notes == ["running without compilation, about a sixth slower: torch could not compile (no g++)"]


@pytest.mark.parametrize(("device", "said"), [("tpu", "cpu"), ("cuda", "no GPU")])
def test_a_device_that_is_not_there(device: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution.torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=said):
        execution.plan(device)
