"""`ropewalk verify`: a sound host passes every check; each kind of damage fails the check that is about it, and no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from families import host, perturb
from typer.testing import CliRunner

from ropewalk.cli.commands import app
from ropewalk.hf import graft, hooks
from ropewalk.measure.verify import verify
from ropewalk.tokens.tokenizer import ByteTokenizer

CHECKS = {
    "spans", "units", "identity at the start", "increments act", "cached = full", "left padding", "exact detach",
}  # fmt: skip


def untouched(name: str = "llama") -> Any:
    model = host(name, vocab_size=257, max_position_embeddings=256)
    return graft(model, parametrization="integer", tokenizer=ByteTokenizer())


def failures(checked: Any) -> set[str]:
    found = list(verify(checked))
    assert {check.name for check in found} == CHECKS
    return {check.name for check in found if not check.passed}


@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_a_sound_host_passes(name: str) -> None:
    assert failures(untouched(name)) == set()


def test_a_trained_graft_is_checked_with_its_own_increments() -> None:
    model = host("llama", vocab_size=257, max_position_embeddings=256)
    own = graft(model, tokenizer=ByteTokenizer())
    perturb(own)
    assert failures(own) == set()


class Shifted(ByteTokenizer):
    def encode(self, text: str, start: Any = "auto") -> Any:
        encoded = super().encode(text, start)
        spans = encoded.spans.copy()
        spans[1:-1] += 1
        return replace(encoded, spans=spans)


def _rotary(checked: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Changes the real-valued positions that the host's rotary embedding is given."""
    own = checked.structure.rotary
    kind: Any = type(own)

    class Changed(kind):
        def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> Any:
            given = change(position_ids) if position_ids.is_floating_point() else position_ids
            return super().forward(x, given)

    own.__class__ = Changed


def shift_spans(checked: Any, patch: pytest.MonkeyPatch) -> None:
    checked.tokenizer = Shifted()


def scale_logits(checked: Any, patch: pytest.MonkeyPatch) -> None:
    model = checked.model

    def run(**given: Any) -> Any:
        output = model(**given)
        output.logits = output.logits * 1.1
        return output

    checked.run = run


def shift_positions_inside(checked: Any, patch: pytest.MonkeyPatch) -> None:
    _rotary(checked, lambda p: p * 1.01)


def ignore_increments(checked: Any, patch: pytest.MonkeyPatch) -> None:
    _rotary(checked, lambda p: torch.arange(p.shape[-1], dtype=p.dtype).expand_as(p))


def forget_running_sums(checked: Any, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hooks, "layer_state", lambda cache, index: None)


def ignore_padding(checked: Any, patch: pytest.MonkeyPatch) -> None:
    whole = checked.model.forward

    def forward(*args: Any, attention_mask: Any = None, **given: Any) -> Any:
        return whole(*args, **given)

    patch.setattr(checked.model, "forward", forward)


def leave_hooks(checked: Any, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hooks.GraftHooks, "remove", lambda self: None)


@pytest.mark.parametrize(
    ("damage", "row"),
    [
        (shift_spans, "spans"),
        (scale_logits, "units"),
        (shift_positions_inside, "identity at the start"),
        (forget_running_sums, "cached = full"),
        (ignore_padding, "left padding"),
    ],
)
def test_damage_fails_its_own_row(damage: Any, row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = untouched()
    damage(checked, monkeypatch)
    assert failures(checked) == {row}


def test_increments_that_do_nothing_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = untouched()
    ignore_increments(checked, monkeypatch)
    assert "increments act" in failures(checked)


def test_what_a_graft_leaves_behind_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = untouched()
    checked.detach()
    checked = graft(checked.model, parametrization="integer", tokenizer=ByteTokenizer())
    leave_hooks(checked, monkeypatch)
    assert "exact detach" in failures(checked)


def test_the_command_prints_rows_and_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    result = CliRunner().invoke(app, ["verify", "per-layer", "--json", str(path)])
    assert result.exit_code == 0, result.output
    assert "cached = full" in result.output and "holds" in result.output
    record = json.loads(path.read_text())
    assert record["versions"]["torch"] == torch.__version__
    assert [check["passed"] for check in record["checks"]] == [True] * len(record["checks"])


def test_the_command_fails_where_a_check_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    import ropewalk.loading

    checked = untouched()
    shift_spans(checked, monkeypatch)
    monkeypatch.setattr(ropewalk.loading, "load", lambda name, **options: checked)
    result = CliRunner().invoke(app, ["verify", "anything"])
    assert result.exit_code == 1 and "fails 1 of 7 checks: spans" in result.output
