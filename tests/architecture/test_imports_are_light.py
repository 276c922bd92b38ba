"""`import ropewalk` is quick: what is heavy loads when it is used. Tried in processes of their own."""

import subprocess
import sys

import pytest

HEAVY = ("transformers", "matplotlib", "pandas", "datasets", "peft", "jieba", "tensorboard", "starlette")


def loaded(statements: str, looked_for: tuple[str, ...]) -> list[str]:
    """Which of the packages looked for are loaded once a fresh interpreter has run some statements."""
    code = f"{statements}\nimport sys\nprint(*[name for name in {looked_for!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ran.stdout.split()


def test_the_package_alone_loads_nothing_heavy_not_even_torch() -> None:
    assert loaded("import ropewalk", (*HEAVY, "torch")) == []


def test_using_a_model_loads_nothing_that_it_does_not_need() -> None:
    use = (
        "import ropewalk\nropewalk.generate\nprint(ropewalk.trace(ropewalk.load('shared'), 'ab').values.size)"
    )
    assert loaded(use, (*HEAVY, "torch._dynamo", "sympy")) == ["2"]


def test_the_command_line_loads_nothing_that_a_command_does_not_need() -> None:
    assert loaded("import ropewalk.cli", (*HEAVY, "torch")) == []


def test_this_test_can_fail() -> None:
    assert loaded("import ropewalk, matplotlib", HEAVY) == ["matplotlib"]
    with pytest.raises(subprocess.CalledProcessError):
        loaded("import ropewalk.nothing_of_that_name", HEAVY)
