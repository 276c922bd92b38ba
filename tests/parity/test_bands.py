"""Bands: only half of the frequencies turns with learned positions, in every pass and in every layout of a host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from families import host
from test_hf_parity import ids, native
from test_parity_matrix import PASSES, compare
from tiny import config, moved, tokens

from ropewalk import Decoder
from ropewalk.core.encoding import ENCODINGS, Band
from ropewalk.core.host import increments_of
from ropewalk.export import onnx_graph
from ropewalk.hf import graft, llama_export
from ropewalk.hf.rotation import rotation_in_band

BANDS: tuple[Band, ...] = ("fast", "slow")


@pytest.mark.parametrize("band", BANDS)
@pytest.mark.parametrize("name", ENCODINGS)
def test_the_other_half_turns_with_integer_positions(name: str, band: Band) -> None:
    n = torch.arange(7)[None]
    p = n[..., None] * 1.7
    chosen, whole = (ENCODINGS[name](8, 2, 500.0, one) for one in (band, "all"))
    for angles, moving, still in zip(
        chosen.angles(p, n), whole.angles(p), whole.angles(n[..., None].float()), strict=True
    ):
        halves = [part.chunk(2, -1) for part in (angles, moving, still)]
        fast, slow = (0, 1) if band == "fast" else (1, 0)
        assert torch.equal(halves[0][fast], halves[1][fast])
        assert torch.equal(halves[0][slow], halves[2][slow])
    assert chosen.frequencies[0] > chosen.frequencies[-1]


@pytest.mark.parametrize("band", BANDS)
@pytest.mark.parametrize(("gap", "per", "per_head"), [("before", "layer", True), ("after", "shared", False)])
def test_every_pass_agrees(tmp_path: Path, band: Band, gap: Any, per: Any, per_head: bool) -> None:
    shape = config("bounded", band=band, gap=gap, per=per, per_head=per_head, decoder={"num_kv_heads": 2})
    model = moved(Decoder(shape), scale=0.1)
    for name in ("cached", "NumPy", "NumPy step", "transformers"):
        (tmp_path / name).mkdir()
        compare(PASSES[name], model, tmp_path / name)
    ones = torch.ones(1, len(model.rows), 30)
    _, logits = onnx_graph._Graph(model)(tokens(1, 30), ones, ones * 0)
    assert torch.allclose(logits, model(tokens(1, 30)).logits, atol=1e-4)
    whole = Decoder(config("bounded", gap=gap, per=per, per_head=per_head, decoder={"num_kv_heads": 2}))
    whole.load_state_dict(model.state_dict())
    assert not torch.allclose(whole.eval()(tokens(1, 30)).logits, model(tokens(1, 30)).logits, atol=1e-3)


@pytest.mark.parametrize("band", BANDS)
def test_training_and_reading_agree_and_increments_of_one_are_integer_rope(band: Band) -> None:
    model = moved(Decoder(config("signed", band=band)), scale=0.1)
    read = model(tokens(2, 20)).logits
    assert torch.allclose(model.train()(tokens(2, 20)).logits, read, atol=1e-5)
    start, plain = (Decoder(config("bounded", band=one)).eval() for one in (band, "all"))
    assert torch.equal(start(tokens(2, 20)).logits, plain(tokens(2, 20)).logits)


@pytest.mark.parametrize("band", BANDS)
@pytest.mark.parametrize(("per", "per_head"), [("layer", False), ("layer", True), ("shared", False)])
def test_a_graft_agrees_with_the_decoder(band: Band, per: Any, per_head: bool) -> None:
    decoder = native(parametrization="bounded", per=per, per_head=per_head, band=band)
    chance = torch.Generator().manual_seed(1)
    d = {row: torch.rand(2, 20, generator=chance) * 3 for row in decoder.rows}
    model = llama_export.llama(decoder, increments=True)
    with graft(model, per=per, per_head=per_head, band=band) as grafted, torch.no_grad():
        ours = decoder(ids(), edit=lambda row, _: d[row])
        theirs = grafted(ids(), edit=lambda row, _: d[row])
    assert torch.equal(increments_of(ours), increments_of(theirs))
    assert (ours.logits - theirs.logits).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["llama", "cohere", "phi", "llama4"])
def test_each_layout_of_a_host_keeps_half_of_its_frequencies(name: str) -> None:
    """Halves, interleaved, partial and complex rotations: half of the channels turn as if all did, half as integers do."""
    model = host(name)
    with graft(model) as grafted:
        rotary = grafted.structure.rotary
    n = torch.arange(1, 6)[None]
    p, x = 3.0 * n[..., None].float(), torch.zeros(1, 5, 8)
    kind = next(iter(grafted.structure.rotary_layers)).layer_type
    found, moving, still = (
        rotation_in_band(rotary, x, at, n, kind, band)
        for at, band in ((p, "fast"), (p, "all"), (n[..., None].float(), "all"))
    )
    parts = [part if isinstance(part, torch.Tensor) else part[1] for part in (found, moving, still)]
    as_moving, as_still = ((parts[0] == part).all(1)[0] for part in parts[1:])
    assert (as_moving ^ as_still).all() and as_moving.sum() == as_still.sum()
