"""The lines that the README shows are executed as they stand, in a fresh process and a fresh folder."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import fresh
import torch
import transformers

from ropewalk.hf import llama_export

README = Path(__file__).parents[2] / "README.md"


def test_the_example_in_under_twenty_lines(tmp_path: Path) -> None:
    found = next(
        m for m in re.finditer(r"```python\n(.*?)```", README.read_text(), re.DOTALL) if "BASE" in m[1]
    )
    rows = [row for row in found[1].splitlines() if row.strip()]
    assert len(rows) < 20
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.LlamaConfig(vocab_size=257, **sizes, eos_token_id=256, bos_token_id=256)
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "BASE")
    llama_export.byte_tokenizer().save_pretrained(tmp_path / "BASE")
    done = fresh.run(found[1], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "The ropes are laid out and measured." in done.stdout
    assert (tmp_path / "my-increments" / "increments.safetensors").exists()


def test_importing_ropewalk_loads_no_transformers() -> None:
    program = (
        "import sys, ropewalk, ropewalk.traces.importers, ropewalk.measure.probe, ropewalk.tokens.tokenizer, "
        "ropewalk.cli.probe\n"
        "sys.exit('transformers' in sys.modules or 'peft' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
    loads = "import sys, transformers; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loads]).returncode == 1
