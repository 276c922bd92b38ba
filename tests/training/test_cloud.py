"""The file for SkyPilot: fits its schema, and starts a command that there is. No cloud is asked."""

import shlex
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FILE = ROOT / "recipes" / "cloud" / "skypilot.yaml"


def read() -> dict[str, Any]:
    return pytest.importorskip("yaml").safe_load(FILE.read_text())


@pytest.mark.filterwarnings("default")
def test_it_fits_the_schema_of_skypilot() -> None:
    schemas = pytest.importorskip(
        "sky.utils.schemas", reason="skypilot is not installed; it is a large package"
    )
    import jsonschema

    jsonschema.Draft7Validator(schemas.get_task_schema()).validate(read())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schemas.get_task_schema()).validate(read() | {"nodes": 2})


def test_what_it_starts_is_a_command_of_ours() -> None:
    from typer.main import get_command

    from ropewalk.cli.commands import app
    from ropewalk.training import recipe

    task = read()
    words = shlex.split(task["run"])
    start = words.index("ropewalk")
    assert words[start - 1] == "-m" and words[0].endswith("/torchrun")
    name, *rest = [word.replace("$RECIPE", task["envs"]["RECIPE"]) for word in words[start + 1 :]]
    context = get_command(app).commands[name].make_context(name, rest)  # type: ignore[attr-defined]
    assert context.params["resume"] and str(context.params["out"]).startswith(tuple(task["file_mounts"]))
    plan = recipe.read_recipe(ROOT / context.params["recipe"])
    assert (
        plan.train.batch_size % (task["num_nodes"] * int(task["resources"]["accelerators"].split(":")[1]))
        == 0
    )
    assert "NEVER RUN ON A CLOUD" in FILE.read_text()
