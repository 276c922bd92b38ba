"""Every code block of README, CONTRIBUTING and docs/: commands parse, Python runs, TOML and JSON are valid.

A comment before a Python block changes how it is run: `not run` leaves it out, `needs BASE` provides a tiny Llama in a
folder of that name, `saves the block above as FILE` writes the block before it to a file first.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fresh
import pytest
import typer.main

from ropewalk.cli.commands import app

ROOT = Path(__file__).parents[2]
GENERATED = (
    "docs/_build/",
    "docs/_extensions/",
    "docs/api/modules/",
    "docs/results/",
    "docs/cli.md",
    "docs/performance.md",
)
OTHER_PROGRAMS = {
    "echo",
    "printf",
    "git",
    "cd",
    "python",
    "scripts/test-transformers-versions.sh",
    "gh",
    "export",
}
FENCE = re.compile(r"(?:<!-- *(?P<how>.*?) *-->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```", re.M | re.S)


@dataclass(frozen=True)
class Block:
    page: str
    language: str
    code: str
    how: str


def pages() -> list[Path]:
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path for path in found if not path.relative_to(ROOT).as_posix().startswith(GENERATED)]


def blocks(language: str) -> list[Block]:
    return [
        Block(path.relative_to(ROOT).as_posix(), found["language"], found["code"], found["how"] or "")
        for path in pages()
        for found in FENCE.finditer(path.read_text(encoding="utf-8"))
        if found["language"] == language
    ]


def simple_commands(code: str) -> Iterator[list[str]]:
    """The commands of a shell block as words, without comments, redirections and variable assignments."""
    for line in code.replace("\\\n", " ").splitlines():
        reader = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        reader.whitespace_split, reader.commenters = True, "#"
        words: list[str] = []
        for word in [*reader, ";"]:
            if set(word) <= set("|&;<>"):
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    words = words[1:]
                if words:
                    yield words
                words = []
            else:
                words.append(word)


def ropewalk_arguments(words: list[str]) -> list[str] | None:
    """What follows `ropewalk` in a command, whatever starts it; None when it is another program."""
    for start in (["ropewalk"], [".venv/bin/ropewalk"], ["uvx", "ropewalk"]):
        if words[: len(start)] == start:
            return words[len(start) :]
    if words[0] in ("torchrun", "accelerate", "python") and ["-m", "ropewalk"] in [
        words[i : i + 2] for i in range(len(words))
    ]:
        return words[words.index("ropewalk", words.index("-m")) + 1 :]
    return None


def parse(arguments: list[str]) -> None:
    """Lets the command line parse the arguments without running the command; raises what it would print."""
    group = typer.main.get_command(app)
    assert arguments and arguments[0] in group.commands, f"no such command: ropewalk {' '.join(arguments)}"
    if {"--help", "-h", "--list"} & set(arguments):
        return
    command = group.commands[arguments[0]]
    command.make_context(arguments[0], list(arguments[1:]))


@pytest.mark.parametrize("block", blocks("sh"), ids=lambda block: block.page)
def test_commands_parse(block: Block) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    for words in simple_commands(block.code):
        arguments = ropewalk_arguments(words)
        if arguments is not None:
            parse(arguments)
        elif words[:2] == ["pip", "install"] or words[:3] == ["uv", "pip", "install"]:
            named = {
                extra
                for word in words
                for found in re.findall(r"\[(.*?)\]", word)
                for extra in found.split(",")
            }
            assert named <= set(extras), named - set(extras)
        elif words[0] == "make":
            assert set(words[1:]) <= targets, words
        else:
            assert words[0] in OTHER_PROGRAMS or words[0].startswith(".venv/bin/"), words


@pytest.mark.parametrize("block", blocks("toml"), ids=lambda block: block.page)
def test_toml_is_valid(block: Block) -> None:
    tomllib.loads(block.code)


@pytest.mark.parametrize("block", blocks("json"), ids=lambda block: block.page)
def test_json_is_valid(block: Block) -> None:
    json.loads(block.code)


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.page)
def test_python_compiles(block: Block) -> None:
    compile(block.code, block.page, "exec")


def make_base(folder: Path) -> None:
    """A tiny random Llama with a byte tokenizer."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    from ropewalk.hf import llama_export

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.LlamaConfig(vocab_size=257, **sizes, eos_token_id=256, bos_token_id=256)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    llama_export.byte_tokenizer().save_pretrained(folder)


RUN = sorted(
    {block.page for block in blocks("python") if "not run" not in block.how and block.page != "README.md"}
)


@pytest.mark.parametrize("page", RUN)
def test_python_runs(page: str, tmp_path: Path) -> None:
    """The blocks of one page, one after another in one process; the README's own test runs the README's."""
    text = (ROOT / page).read_text(encoding="utf-8")
    program, before = [], ""
    needs_base = False
    for found in FENCE.finditer(text):
        how = found["how"] or ""
        if saved := re.fullmatch(r"saves the block above as (\S+)", how):
            (tmp_path / saved[1]).write_text(before, encoding="utf-8")
        if found["language"] == "python" and "not run" not in how:
            program.append(found["code"])
            needs_base = needs_base or "needs BASE" in how
        before = found["code"]
    if needs_base:
        make_base(tmp_path / "BASE")
    done = fresh.run(
        "\n\n".join(program), tmp_path, strict=not needs_base, ROPEWALK_CACHE=str(tmp_path / "cache")
    )
    assert done.returncode == 0, done.stderr


def test_a_wrong_command_is_found() -> None:
    with pytest.raises(Exception, match=r"(?i)no such option"):
        parse(["show", "--no-such-option"])
    with pytest.raises(AssertionError):
        parse(["no-such-command"])
