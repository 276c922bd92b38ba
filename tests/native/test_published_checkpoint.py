"""Published checkpoints: our own weights under the published names come back as they were, and code is refused unrun."""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny import config, tokens
from torch import Tensor

from ropewalk.cli.import_published import import_published
from ropewalk.core.host import increments_of
from ropewalk.errors import UserError
from ropewalk.loading import kind_of
from ropewalk.native.checkpoint import load_decoder
from ropewalk.native.decoder import Decoder
from ropewalk.native.published_checkpoint import LAYER, read_published
from ropewalk.native.torch_archive import read_archive

WIDE = {"attn_norm": (32,), "ffn_norm": (32,), "ffn.w_down": (32, 48)}
WIDE |= dict.fromkeys(("attn.wq", "attn.wk", "attn.wv", "attn.wo"), (32, 32))
WIDE |= dict.fromkeys(("ffn.w_gate", "ffn.w_up"), (48, 32))


def checkpoint(**changes: Any) -> dict[str, Any]:
    """A checkpoint with random weights of our own; the names and the form are the published ones."""
    settings = {
        "dim": 32, "n_heads": 4, "n_layers": 2, "intermediate_dim": 48, "vocab_size": 257, "max_seq_len": 64,
        "rope_theta": 500.0, "norm_eps": 1e-5, "dropout": 0.0, "pos_encoding": "selective_rope", "norm_type": "rmsnorm",
        "activation": "swiglu", "init_std": 0.02, "delta_hidden_dim": None, "per_layer_delta": False,
        "per_head_delta": False, "decay": "none", "head_dim": 8, "effective_delta_hidden_dim": 8, **changes,
    }  # fmt: skip
    stream = torch.Generator().manual_seed(5)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=stream) * 0.3 + (1.0 if len(shape) == 1 else 0.0)

    state = {"tok_emb.weight": drawn(257, 32), "final_norm.weight": drawn(32)}
    for i in range(2):
        state |= {f"layers.{i}.{name}.weight": drawn(*WIDE[name]) for name in LAYER}
    outputs = 4 if settings["per_head_delta"] else 1
    owners = {"none": {}, "alibi": {}, "learned": {"forget_mlp": 4}}[settings["decay"]]
    if settings["pos_encoding"] == "selective_rope":
        layered = settings["per_layer_delta"]
        owners |= dict.fromkeys(("delta_mlps.0", "delta_mlps.1") if layered else ("delta_mlp",), outputs)
        state |= {f"delta_mlps.{i}.norm.weight": drawn(32) for i in range(2) if layered}
    for name, count in owners.items():
        state |= {f"{name}.fc1.weight": drawn(8, 32), f"{name}.fc1.bias": drawn(8)}
        state |= {f"{name}.fc2.weight": drawn(count, 8), f"{name}.fc2.bias": drawn(count)}
    return {"step": 50_000, "model_state_dict": state, "model_config": settings}


def published_pass(saved: dict[str, Any], ids: Tensor) -> tuple[list[Tensor], Tensor]:
    """The published mathematics in float64: d of each module (B, T, G), and logits."""
    w = {name: tensor.double() for name, tensor in saved["model_state_dict"].items()}
    c = saved["model_config"]

    def one(name: str, x: Tensor) -> Tensor:
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def network(name: str, x: Tensor) -> Tensor:
        return one(f"{name}.fc2", F.gelu(one(f"{name}.fc1", x)))

    def turned(x: Tensor, p: Tensor) -> Tensor:
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], 4, 2))
        angle = p[..., None] * 500.0 ** -(torch.arange(0, 8, 2).double() / 8)
        return torch.view_as_real(pairs * torch.polar(torch.ones_like(angle), angle)).flatten(-2)

    x = embedded = w["tok_emb.weight"][ids]
    length = ids.shape[1]
    bias = torch.full((length, length), -math.inf, dtype=torch.float64).triu(1).expand(len(ids), 4, -1, -1)
    if c["decay"] != "none":
        slopes = -(2.0 ** (-2.0 * torch.arange(1, 5)))
        a = slopes.expand(*ids.shape, 4) if c["decay"] == "alibi" else F.logsigmoid(network("forget_mlp", x))
        total = a.cumsum(1).transpose(1, 2)
        bias = bias + total[..., None] - total[..., None, :]
    found, p = [], torch.arange(length).double()[None, :, None]
    for i in range(2):
        if "delta_mlps.0.fc1.weight" in w:
            y = x / (x.square().mean(-1, keepdim=True) + torch.finfo(torch.float32).eps).sqrt()
            y = y * w[f"delta_mlps.{i}.norm.weight"]
            found.append(10 * torch.sigmoid(network(f"delta_mlps.{i}", y)))
        elif i == 0 and "delta_mlp.fc1.weight" in w:
            found.append(F.softplus(network("delta_mlp", embedded)))
        p = found[-1].cumsum(1) if found else p
        name = f"layers.{i}"
        y = F.rms_norm(x, (32,), w[f"{name}.attn_norm.weight"], 1e-5)
        q, k, v = (F.linear(y, w[f"{name}.attn.w{one}.weight"]).unflatten(-1, (4, 8)) for one in "qkv")
        q, k, v = (each.transpose(1, 2) for each in (turned(q, p), turned(k, p), v))
        mixed = ((q @ k.transpose(-1, -2) / 8**0.5 + bias).softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + F.linear(mixed, w[f"{name}.attn.wo.weight"])
        y = F.rms_norm(x, (32,), w[f"{name}.ffn_norm.weight"], 1e-5)
        gate = F.silu(F.linear(y, w[f"{name}.ffn.w_gate.weight"])) * F.linear(y, w[f"{name}.ffn.w_up.weight"])
        x = x + F.linear(gate, w[f"{name}.ffn.w_down.weight"])
    return found, F.linear(F.rms_norm(x, (32,), w["final_norm.weight"], 1e-5), w["tok_emb.weight"])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"per_layer_delta": True},
        {"per_layer_delta": True, "per_head_delta": True, "decay": "learned"},
        {"per_head_delta": True, "decay": "alibi"},
        {"pos_encoding": "rope", "decay": "learned"},
    ],
    ids=["shared", "per layer", "per head with forget gate", "shared per head with ALiBi", "forget gate"],
)
def test_a_checkpoint_computes_what_it_did(tmp_path: Path, changes: dict[str, Any]) -> None:
    saved = checkpoint(**changes)
    torch.save(saved, tmp_path / "step_50000.pt")
    model = read_published(tmp_path / "step_50000.pt")
    assert model.provenance["published_step"] == 50_000 and model.provenance["name"] == "step_50000"
    ids = tokens(2, 20)
    d, logits = published_pass(saved, ids)
    with torch.no_grad():
        output = model(ids)
    assert torch.allclose(output.logits.double(), logits, atol=1e-3, rtol=0)
    if d:
        expected = torch.cat([one.transpose(1, 2) for one in d], 1)
        assert expected.std() > 0.1
        assert torch.allclose(increments_of(output).double(), expected, atol=1e-4, rtol=0)


def test_a_frozen_table_is_read(tmp_path: Path) -> None:
    saved = checkpoint(pos_encoding="rope")
    saved["model_config"]["pos_encoding"] = "selective_rope"
    saved["model_state_dict"]["frozen_delta.deltas"] = torch.linspace(0.1, 3.0, 257)
    torch.save(saved, tmp_path / "frozen.pt")
    found = increments_of(read_published(tmp_path / "frozen.pt")(torch.tensor([[0, 256, 128]])))
    assert found.flatten().tolist() == pytest.approx([0.1, 3.0, 1.55])


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "made"),)

    saved = checkpoint()
    saved["model_state_dict"]["tok_emb.weight"] = Bomb()
    torch.save(saved, tmp_path / "bomb.pt")
    torch.save(Bomb(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    saved = checkpoint()
    saved["extra"] = bytearray(3)
    torch.save(saved, tmp_path / "bytes.pt")
    for name in ("bomb.pt", "old.pt", "bytes.pt"):
        with pytest.raises(UserError, match="not a checkpoint of tensors"):
            read_published(tmp_path / name)
    assert not (tmp_path / "made").exists()


def test_what_cannot_be_computed_or_is_damaged_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"

    def refused(saved: Any) -> str:
        torch.save(saved, path)
        with pytest.raises(UserError) as error:
            read_published(path)
        assert str(error.value).count("\n") == 0
        return str(error.value)

    for change in ({"norm_type": "layernorm"}, {"activation": "gelu"}, {"pos_encoding": "selective_pope"}):
        saved = checkpoint()
        saved["model_config"] |= change
        assert "does not compute" in refused(saved)
    for key, value in (("dim", 33), ("n_layers", 10**9), ("vocab_size", "x"), ("rope_theta", float("nan"))):
        saved = checkpoint()
        saved["model_config"][key] = value
        refused(saved)
    missing, strange, thin = checkpoint(), checkpoint(), checkpoint()
    del missing["model_state_dict"]["final_norm.weight"]
    assert "lacks the tensor 'norm.weight'" in refused(missing)
    strange["model_state_dict"]["head.weight"] = torch.zeros(3)
    assert "'head.weight'" in refused(strange)
    thin["model_state_dict"]["tok_emb.weight"] = torch.zeros(1, 1).expand(257, 32)
    assert "tensors and plain values" in refused(thin)
    refused([1, 2])
    torch.save(checkpoint(), path)
    with (
        zipfile.ZipFile(path) as archive,
        zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in archive.infolist():
            packed.writestr(entry.filename, archive.read(entry))
    path.write_bytes(path.read_bytes()[:-4000])
    for name in ("a.pt", "b.pt", "none.pt"):
        with pytest.raises(UserError):
            read_published(tmp_path / name)
    with pytest.raises(UserError, match="import-published"):
        kind_of(path)


def test_our_names_are_all_reached() -> None:
    names = [name for name in Decoder(config()).state_dict() if name.startswith("layers.0.")]
    assert {name.removeprefix("layers.0.").removesuffix(".weight") for name in names} == set(LAYER.values())


def test_what_torch_writes_of_a_module_is_read_as_torch_reads_it(tmp_path: Path) -> None:
    """Halves, shared storages, lists and the attributes of a state_dict; a storage that is named twice is read once."""
    layer, table = torch.nn.Linear(3, 2).half(), torch.arange(12.0)
    saved = {
        "state": layer.state_dict(),
        "views": [table[:4].view(2, 2), table[4:]],
        "tuple": (1, (2.5, None)),
        "ok": True,
    }
    torch.save(saved, tmp_path / "a.pt")
    back = read_archive(tmp_path / "a.pt")
    assert back["tuple"] == (1, (2.5, None)) and back["ok"] is True
    assert (
        torch.equal(back["state"]["weight"], layer.weight) and back["state"]["weight"].dtype == torch.float16
    )
    first, rest = back["views"]
    assert torch.equal(first, saved["views"][0]) and torch.equal(rest, saved["views"][1])
    assert first.untyped_storage().data_ptr() == rest.untyped_storage().data_ptr()


def test_the_command_writes_a_model_folder(tmp_path: Path) -> None:
    torch.save(checkpoint(per_layer_delta=True), tmp_path / "a.pt")
    import_published(tmp_path / "a.pt", tmp_path / "model")
    model = load_decoder(tmp_path / "model")
    assert torch.equal(model(tokens(1, 9)).logits, read_published(tmp_path / "a.pt")(tokens(1, 9)).logits)
    with pytest.raises(UserError, match="exists already"):
        import_published(tmp_path / "a.pt", tmp_path / "model")
    saved = checkpoint()
    saved["model_config"]["vocab_size"] = 300
    saved["model_state_dict"]["tok_emb.weight"] = torch.zeros(300, 32)
    torch.save(saved, tmp_path / "b.pt")
    with pytest.raises(UserError, match="add --tokenizer"):
        import_published(tmp_path / "b.pt", tmp_path / "other")
    assert not (tmp_path / "other").exists()
