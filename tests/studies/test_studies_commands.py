from pathlib import Path

from ropewalk.cli.study_output import study_command


def test_a_study_command_holds_no_folder_of_this_machine() -> None:
    content = study_command(
        "study", Path("/elsewhere/r.toml"), Path("/mnt/out"), ["a.root=/data", "b=/mnt/x.txt", "c.steps=5"]
    )
    assert content == "ropewalk study r.toml --out FOLDER --set a.root=FOLDER --set b=FOLDER --set c.steps=5"


def test_a_study_command_keeps_what_is_the_same_everywhere() -> None:
    content = study_command("study", Path("recipes/r.toml"), Path("studies/r"), [])
    assert content == "ropewalk study recipes/r.toml --out studies/r"
