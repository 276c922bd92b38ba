"""Names of files as people have them: brackets, newlines, escapes, 300 letters, patterns, str and Path alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropewalk.cli.printing import printable
from ropewalk.cli.run import missing_package
from ropewalk.corpus.files import TextFiles, expand
from ropewalk.errors import UserError


@pytest.mark.parametrize("folder", ["run [cache]", "[a][/b]", "a\nb", "a\x1b[31mb"])
def test_what_was_written_is_printed_whole_and_harmless(ropewalk, model, tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    out = tmp_path / folder / "trace.json"
    answer = ropewalk("show", "The cat.", "--model", model, "--json", out)
    assert answer.status == 0, answer.err
    assert answer.err.endswith(f"wrote {printable(str(out))}\n") and "\x1b" not in answer.err
    refused = ropewalk("show", "--file", tmp_path / folder / "none.txt", "--model", model)
    assert refused.status == 1 and refused.err.count("\n") == 1 and "\x1b" not in refused.err


@pytest.mark.parametrize("option", ["--json", "--png", "--file", "--model"])
def test_a_name_of_300_letters_is_one_sentence(ropewalk, model, option: str) -> None:
    words = ("show",) if option == "--file" else ("show", "a")
    own = () if option == "--model" else ("--model", model)
    answer = ropewalk(*words, *own, option, f"{'a' * 300}.{option[2:]}")
    assert answer.status == 1 and answer.err.startswith("ropewalk: ") and answer.err.count("\n") == 1


def test_patterns_and_names_with_brackets(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c[1].txt", "d.md"):
        (tmp_path / name).write_text(name)
    assert [path.name for path in expand([str(tmp_path / "*.txt")])] == ["a.txt", "b.txt", "c[1].txt"]
    assert expand([tmp_path / "c[1].txt"]) == [tmp_path / "c[1].txt"]
    assert list(TextFiles([tmp_path / "d.md", f"{tmp_path}/a*"]).texts()) == ["d.md", "a.txt"]
    with pytest.raises(UserError, match="matches no file"):
        expand([tmp_path / "*.rst"])


def test_a_missing_package_names_the_extra_of_the_command() -> None:
    assert "'ropewalk[train]'" in missing_package("torch", ["ropewalk", "train", "a.toml"])
    assert "'ropewalk[torch]'" in missing_package("torch._C", ["ropewalk", "generate"])
    assert "'ropewalk[pictures]'" in missing_package("matplotlib", ["ropewalk", "show"])
    assert missing_package("ropewalk.nothing", ["ropewalk"]) is None and missing_package(None, []) is None
