"""The project's words are the field's: retired names and British spellings are found nowhere in code or documentation."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Words that once were names of ours, and what to write instead. Matched as whole words, also inside snake_case names.
RETIRED = {
    "walk": "positions",
    "walks": "positions",
    "walked": "positions",
    "law": "parametrization",
    "laws": "parametrizations",
    "seam": "hooks",
    "bend": "activation",
    "bends": "activation",
    "bent": "transformed",
    "told": "a name of the content; reported",
    "anatomy": "structure",
    "gathered": "collected",
    "stretches": "windows",
    "mends": "fixes",
    "mended": "fixed",
    "whoever": "the caller",
    "nought": "zero",
    "graftbook": "graft tables",
    "sensed": "measured",
    "swiglu_width": "intermediate_size",
    "key_head": "kv_head",
    "key_heads": "num_kv_heads",
    "carriers": "templates",
    "movers": "extreme tokens",
    "trainings": "training runs",
}
BRITISH = {
    "colour": "color",
    "colours": "colors",
    "behaviour": "behavior",
    "centre": "center",
    "centred": "centered",
    "grey": "gray",
    "neighbour": "neighbor",
    "neighbours": "neighbors",
    "initialise": "initialize",
    "initialised": "initialized",
    "quantise": "quantize",
    "quantised": "quantized",
    "normalise": "normalize",
    "normalised": "normalized",
    "analyse": "analyze",
    "analysed": "analyzed",
    "recognise": "recognize",
    "recognised": "recognized",
    "favour": "favor",
    "honour": "honor",
    "licence": "license",
    "licences": "licenses",
    "judgement": "judgment",
}
PHRASES = {
    "to clear": "threshold",
    "wider steps": "larger increments",
    "as good as nothing": "equivalent to zero",
    "hardly moved": "hardly vary",
}
WORDS = RETIRED | BRITISH | PHRASES
SUFFIXES = {".py", ".md", ".js", ".toml", ".html", ".css", ".ipynb"}
LEFT_OUT = ("docs/results/", "CHANGELOG.md", "tests/", "uv.lock", "src/ropewalk/native/pretrained/README.md")
ALLOWED = (
    "rope maker walked",
    "New York walked on",
    "grey water behind the breakwater, and told",
    "walked backwards",
    "Laws/judicial",
    "LawRefBook",
    "Copyright Law",
    "os.walk",
    "ast.walk",
)
PHRASE = re.compile(rf"\b(?:{'|'.join(PHRASES)})\b", re.IGNORECASE)
PATTERN = re.compile(r"[A-Za-z][a-z]+|[A-Z]+(?![a-z])")


def found(text: str) -> dict[str, int]:
    """Each retired word of a text with the number of the first line that holds it; names are split at _ and capitals."""
    hits: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        for phrase in ("ropewalk", *ALLOWED):
            line = line.replace(phrase, "")
        for word in PATTERN.findall(line):
            if (lower := word.lower()) in WORDS:
                hits.setdefault(lower, number)
        for phrase in PHRASE.findall(line):
            hits.setdefault(phrase.lower(), number)
        for name in re.findall(r"\b(?:key_heads?|swiglu_width)\b", line):
            hits.setdefault(name, number)
    return hits


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    names = [name.decode() for name in listed.split(b"\0") if name]
    return [
        ROOT / name
        for name in names
        if Path(name).suffix in SUFFIXES and not name.startswith(LEFT_OUT) and (ROOT / name).is_file()
    ]


def test_no_retired_word_is_left() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: '{word}' (write {WORDS[word]})"
        for path in tracked()
        for word, line in found(path.read_text(encoding="utf-8")).items()
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the law of ropewalk", {"law"}),
        ("class LawConfig: ...", {"law"}),
        ("x = told_lines", {"told"}),
        ("num_key_heads", set()),
        ("a level To clear", {"to clear"}),
        ("unable to clearly see", set()),
        ("key_heads = 2", {"key_heads"}),
        ("a grey Centre", {"grey", "centre"}),
        ("lawn, walking, boldly, os.walk(folder)", set()),
    ],
)
def test_this_test_can_fail(text: str, words: set[str]) -> None:
    assert found(text).keys() == words
