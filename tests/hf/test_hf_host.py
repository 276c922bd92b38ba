"""A graft is a host: lines, edits, taps, documents, captures; `with` restores; casts leave increments
float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from families import host, perturb, tokens

from ropewalk import Row
from ropewalk.core.host import increments_of
from ropewalk.errors import UserError
from ropewalk.hf import graft
from ropewalk.measure.capture import trace
from ropewalk.tokens.tokenized_text import TokenizedText


@pytest.mark.parametrize(("per", "rows"), [("layer", (Row(0), Row(1))), ("shared", (Row(),))])
def test_lines_increments_and_edits(per: str, rows: tuple[Row, ...]) -> None:
    model, ids = host("llama"), tokens(2, 8)
    with graft(model, per=per) as grafted, torch.no_grad():  # type: ignore[arg-type]
        assert grafted.rows == rows
        assert torch.equal(increments_of(grafted(ids)), torch.ones(2, len(rows), 8))
        perturb(grafted)
        output = grafted(ids)
        d = increments_of(output)
        assert d.shape == (2, len(rows), 8) and (d - 1).abs().max() > 0.01
        back = grafted(ids, edit=lambda row, d: torch.ones_like(d))
        assert torch.equal(back.logits, _plain(ids))
        only = grafted(ids, edit=lambda row, d: d if row == rows[0] else torch.ones_like(d))
        assert torch.equal(increments_of(only)[:, 0], d[:, 0])


def _plain(ids: torch.Tensor) -> torch.Tensor:
    return host("llama")(ids).logits


def test_only_the_first_gap_of_a_document_is_without_effect() -> None:
    model, ids = host("llama"), tokens(1, 8)
    grafted = graft(model)

    def push(t: int) -> torch.Tensor:
        change = torch.zeros(8)
        change[t] = 1.0
        with torch.no_grad():
            return grafted(ids, edit=lambda row, d: d + change).logits

    plain = grafted(ids).logits
    assert torch.equal(push(0), plain)
    assert (
        torch.equal(push(5)[:, :5], plain[:, :5])
        and (push(5)[:, 5:] - plain[:, 5:]).abs().min(1)[0].max() > 1e-4
    )


def test_gap_after_moves_the_next_token() -> None:
    model, ids = host("llama"), tokens(1, 8)
    grafted = graft(model, gap="after")
    change = torch.zeros(8)
    change[4] = 1.0
    with torch.no_grad():
        edited = grafted(ids, edit=lambda row, d: d + change, activations=["positions.0"])
    assert edited.activations["positions.0"][0, :, 0].tolist() == [0, 1, 2, 3, 4, 6, 7, 8]
    assert grafted.gap == "after"


def test_documents_in_a_row_see_only_themselves() -> None:
    model, ids = host("llama"), tokens(1, 12)
    grafted = graft(model)
    perturb(grafted)
    documents = torch.tensor([[0] * 5 + [1] * 7])
    with torch.no_grad():
        packed = grafted(ids, document_ids=documents).logits
        apart = torch.cat([grafted(ids[:, :5]).logits, grafted(ids[:, 5:]).logits], 1)
    assert (packed - apart).abs().max() < 1e-5
    with pytest.raises(UserError, match="restart inside a row"):
        grafted(ids, torch.tensor([[*range(5), *range(7)]]))


@pytest.mark.parametrize("gap", ["before", "after"])
@pytest.mark.parametrize("per", ["layer", "shared"])
def test_positions_restart_at_documents_and_after_padding(per: Any, gap: Any) -> None:
    model, ids = host("llama"), tokens(1, 12)
    grafted = graft(model, per=per, gap=gap)
    perturb(grafted)

    def advanced(part: torch.Tensor, documents: torch.Tensor | None = None) -> torch.Tensor:
        with torch.no_grad():
            return grafted(part, document_ids=documents, activations=["positions.0"]).activations[
                "positions.0"
            ]

    packed = advanced(ids, torch.tensor([[0] * 5 + [1] * 7]))
    padded = advanced(ids, torch.tensor([[-1] * 5 + [0] * 7]))
    alone = advanced(ids[:, 5:])
    assert packed[0, 5, 0] == 0 and (packed[:, 5:] - alone).abs().max() < 1e-4
    assert (packed[:, :5] - advanced(ids[:, :5])).abs().max() < 1e-4
    assert (padded[:, 5:] - packed[:, 5:]).abs().max() < 1e-4


def test_activations() -> None:
    model, ids = host("llama", attention="eager"), tokens(1, 6)
    grafted = graft(model)
    with torch.no_grad():
        activations = grafted(ids, activations=["residual.1", "positions.0", "attention.1"]).activations
    assert activations["residual.1"].shape == (1, 6, 32)
    assert torch.equal(activations["positions.0"][0, :, 0], torch.arange(6.0))
    assert torch.allclose(activations["attention.1"].sum(-1), torch.ones(1, 4, 6))
    with pytest.raises(UserError, match=r"unknown activation 'residual\.9'"):
        grafted(ids, activations=["residual.9"])
    grafted.detach()
    with graft(host("llama")) as sdpa, pytest.raises(UserError, match='attn_implementation="eager"'):
        sdpa(ids, activations=["attention.0"])


def test_capture_reads_a_graft() -> None:
    text = "abcdefgh"
    ids = tokens(1, 8)[0].numpy()
    spans = np.stack([np.arange(8), np.arange(1, 9)], 1)
    with graft(host("llama"), per="layer") as grafted:
        perturb(grafted)
        captured = trace(grafted, text, tokens=TokenizedText(ids, spans, (1,)))
    assert captured.rows == (Row(0), Row(1)) and captured.gap == "before"
    assert (
        captured.provenance["architecture"] == "LlamaForCausalLM"
        and captured.provenance["parametrization"] == "bounded"
    )
    assert np.isfinite(captured.surprisal).all()


def test_a_cast_host_keeps_float32_increments() -> None:
    model = host("llama").to(torch.bfloat16)
    ids = tokens(1, 8)
    with torch.no_grad():
        plain = model(ids).logits
        grafted = graft(model)
        assert torch.equal(model(ids).logits, plain)
        perturb(grafted)
        kept = [p.clone() for p in grafted.parameters()]
        model.to(torch.bfloat16)
        model.half()
    assert all(
        torch.equal(p, q) and p.dtype == torch.float32
        for p, q in zip(grafted.parameters(), kept, strict=True)
    )
    model.to(torch.bfloat16)
    output = grafted(ids, activations=["positions.1"])
    assert output.activations["positions.1"].dtype == torch.float32 and output.r[0].dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(grafted(ids).r[0], output.r[0])


def test_detaching_thaws_what_was_frozen() -> None:
    model = host("llama")
    model.lm_head.weight.requires_grad_(False)
    grafted = graft(model).freeze_base()
    assert not any(p.requires_grad for n, p in model.named_parameters() if "increments" not in n)
    assert all(p.requires_grad for p in grafted.parameters())
    grafted.detach()
    grafted.detach()
    assert [n for n, p in model.named_parameters() if not p.requires_grad] == ["lm_head.weight"]
