"""The public names: what they are, that they are listed, and that type checkers see their types."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import ropewalk

NAMES = {
    "Decoder", "DecoderConfig", "Graft", "Host", "IncrementConfig", "Output", "ProbeResult", "Row", "TokenizedText",
    "Tokenizer", "Trace", "UserError", "generate", "graft", "load", "probe", "trace", "trace_many",
}  # fmt: skip
SIGNATURES = {
    "load": ["name", "base", "tokenizer", "per_head", "strict", "backend", "options"],
    "trace": ["host", "text", "tokens", "tokenizer", "start", "edit", "tokens_per_pass"],
    "probe": ["host", "text", "plan", "tokens", "tokenizer", "start", "draws", "exact", "seed", "progress"],
    "graft": ["model", "config", "tokenizer", "seed", "settings"],
    "generate": ["host", "prompt", "length", "temperature", "top_p", "seed", "start"],
}
CONFIG = """[mypy]
strict = True
mypy_path = {source}
follow_imports = silent
ignore_missing_imports = True
[mypy-torch.*,numpy.*,transformers.*,peft.*,tokenizers.*,jaxtyping.*,pydantic.*,regex.*]
follow_imports = skip
"""
SCRIPT = """
import ropewalk

host = ropewalk.load("per-layer")
trace = ropewalk.trace(host, "The cat sat.")
names: list[str] = [str(row) for row in trace.rows]
positions = trace.positions.mean()
result: ropewalk.ProbeResult = ropewalk.probe(host, "The cat sat.", draws=4)
text: str = ropewalk.generate(host, "The", length=3)
config = ropewalk.IncrementConfig(per="shared")
print(host.context_length + 1, names, positions, result.trace.unit, text, config.shared)
"""


def test_public_names_are_listed_and_load() -> None:
    assert set(ropewalk.__all__) == NAMES | {"__version__"} and set(dir(ropewalk)) >= NAMES
    for name in NAMES:
        assert getattr(ropewalk, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ropewalk.nothing  # noqa: B018


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name: str) -> None:
    assert list(inspect.signature(getattr(ropewalk, name)).parameters) == SIGNATURES[name]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ropewalk.load(None), "expected the name of a model, got NoneType"),  # type: ignore[arg-type]
        (lambda: ropewalk.load(""), "expected the name of a model, got ''"),
        (
            lambda: ropewalk.load("shared", backend="jax"),
            "backend must be one of auto, torch, numpy, got 'jax'",
        ),  # type: ignore[arg-type]
        (lambda: ropewalk.load("x" * 500), "is too long for a name"),
        (lambda: ropewalk.load("a\0b"), "is no name that a file can have"),
        (lambda: ropewalk.trace_many(None, "abc"), "expected several texts, got one"),
        (lambda: ropewalk.trace_many(None, ["a", "b"], tokens=[None]), "2 texts came with the tokens of 1"),
        (lambda: ropewalk.probe(ropewalk.load("shared", backend="numpy"), "abc"), "the probe needs PyTorch"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(call: Callable[[], object], said: str) -> None:
    with pytest.raises(ropewalk.UserError, match=re.escape(said)):
        call()


def test_importing_changes_nothing_in_the_process() -> None:
    program = (
        "import os, sys, warnings, signal\n"
        "before = (dict(os.environ), list(warnings.filters), signal.getsignal(signal.SIGINT), sys.getrecursionlimit())\n"
        "import ropewalk\n"
        "after = (dict(os.environ), list(warnings.filters), signal.getsignal(signal.SIGINT), sys.getrecursionlimit())\n"
        "heavy = [n for n in ('torch', 'transformers', 'matplotlib', 'numpy', 'pydantic') if n in sys.modules]\n"
        "sys.exit(str(heavy) if heavy else before != after)\n"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_a_user_script_type_checks(tmp_path: Path) -> None:
    mypy = pytest.importorskip("mypy.api")
    (tmp_path / "script.py").write_text(SCRIPT)
    source = Path(ropewalk.__file__).parent
    assert (source / "py.typed").is_file()
    (tmp_path / "mypy.ini").write_text(CONFIG.format(source=source.parent))
    arguments = ["--config-file", str(tmp_path / "mypy.ini"), "--cache-dir", str(tmp_path / "cache")]
    (tmp_path / "wrong.py").write_text(SCRIPT + "wrong: int = ropewalk.trace(host, 1)\n")
    out, errors, status = mypy.run([*arguments, str(tmp_path / "script.py"), str(tmp_path / "wrong.py")])
    assert status == 1 and out.count("error:") == out.count("wrong.py:") == 2, out + errors


def test_text_without_its_own_tokenizer_is_refused() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=97, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    model = transformers.LlamaForCausalLM(config).eval()
    for attempt in (ropewalk.trace, ropewalk.probe):
        with pytest.raises(ropewalk.UserError, match="pass tokenizer="):
            attempt(model, "Hello New York")
    with ropewalk.graft(model) as grafted, pytest.raises(ropewalk.UserError, match="pass tokenizer="):
        ropewalk.trace(grafted, "Hello New York")
    with pytest.raises(ropewalk.UserError, match="expected a model"):
        ropewalk.trace("per-layer", "text")
    assert not any(module._forward_hooks for module in model.modules())
