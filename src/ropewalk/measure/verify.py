"""Checks of a model on this machine: whether what must hold for every model holds for this one.

    identity at the start   a fresh graft changes no logit, bit for bit
    exact detach            a detached graft leaves the model as it was, bit for bit
    increments act          increments other than 1 change the predictions
    cached = full           decoding with a cache, in pieces, gives what one pass gives
    left padding            a padded row of a batch gives what it gives alone
    spans                   every byte of a text lies in one token, and in the token that writes it
    units                   the surprisal of a trace is the loss that the model itself reports

Increments of an untouched model are set to values between 0 and 2 for the checks that need some. Differences are those of
log-probabilities, in nats. Checks that do not apply to a kind of model are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ropewalk.core.loss import bits_per_byte
from ropewalk.errors import UserError
from ropewalk.measure.capture import trace
from ropewalk.measure.hosts import has_increments
from ropewalk.tokens.check_spans import misplaced
from ropewalk.tokens.host_text import encode_for

TEXT = (
    "The old bridge over the river was closed in 1987. 老桥在一九八七年关闭了。\n"
    "She moved from New York to Paris in May, and the rope grew longer."
)
LIMIT = {torch.float32: 2e-3, torch.float64: 1e-6}
"""The largest difference of log-probabilities that passes, in nats; other dtypes may differ by `NARROW`."""
NARROW = 0.25
NATS = 1e-4
"""The largest difference of a mean surprisal that passes, in nats."""


@dataclass(frozen=True)
class Check:
    """One row: what was checked, whether it holds, the figure behind it (None where it is yes or no), its limit, and details."""

    name: str
    passed: bool
    figure: float | None = None
    limit: float | None = None
    detail: str = ""


def verify(host: Any) -> Iterator[Check]:
    """The checks of a host, one at a time. A graft on `host` is taken off, so open a model for this alone.

    UserError for a host that cannot be checked: one without a tokenizer, or one that only NumPy runs.
    """
    if getattr(host, "tokenizer", None) is None or not hasattr(host, "new_cache"):
        raise UserError(
            "this model cannot be checked: it needs PyTorch and a tokenizer; open it with ropewalk.load."
        )
    yield _guarded("spans", lambda: _spans(host))
    yield _guarded("units", lambda: _units(host))
    if has_increments(host):
        yield from _decoding(host)
    if hasattr(host, "detach"):
        yield from _grafting(host.detach(), host.tokenizer, decoding=not has_increments(host))
    elif not has_increments(host):
        yield from _decoding(host)


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    """The result of a check; an error is a failure of it."""
    try:
        return check()
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return Check(name, False, detail=f"{type(error).__name__}: {reason[:200]}")


def _grafting(model: Any, tokenizer: Any, decoding: bool) -> Iterator[Check]:
    """A fresh graft on a bare model, with moved increments, and off again."""
    from ropewalk.hf import graft

    ids = _ids(tokenizer)
    before, hooks, names = _bare_logits(model, ids), _hooks(model), set(model.state_dict())
    grafted = graft(model, tokenizer=tokenizer)
    yield _guarded("identity at the start", lambda: _identity(grafted, ids, before))
    move(grafted)
    yield _guarded("increments act", lambda: _acts(grafted, ids, before))
    if decoding:
        yield from _decoding(grafted)
    grafted.detach()
    left = _hooks(model) - hooks + len(set(model.state_dict()) ^ names)
    yield _guarded("exact detach", lambda: _detached(_bare_logits(model, ids), before, left))


def _decoding(host: Any) -> Iterator[Check]:
    yield _guarded("cached = full", lambda: _cached(host))
    yield _guarded("left padding", lambda: _padded(host))


def _identity(grafted: Any, ids: Tensor, before: Tensor) -> Check:
    same = torch.equal(_bare_logits(grafted.model, ids), before)
    return Check("identity at the start", same, detail="bit for bit" if same else "the logits changed")


def _detached(after: Tensor, before: Tensor, left: int) -> Check:
    same = torch.equal(after, before)
    detail = f"{left} hooks or weights were left" if left else "bit for bit" if same else "the logits changed"
    return Check("exact detach", same and not left, detail=detail)


def _acts(grafted: Any, ids: Tensor, before: Tensor) -> Check:
    found = _difference(_bare_logits(grafted.model, ids), before)
    return Check("increments act", found > 1e-3, found, detail="largest change of a log-probability")


@torch.inference_mode()
def _cached(host: Any) -> Check:
    ids = _ids(host.tokenizer)
    whole, cache = host(ids).logits, host.new_cache()
    parts: list[Tensor] = []
    half = ids.shape[1] // 2
    for part in (ids[:, :half], ids[:, half : half + 4], *ids[:, half + 4 :].split(1, 1)):
        parts.append(host(part, kv_cache=cache).logits)
    return _close("cached = full", torch.cat(parts, 1), whole)


@torch.inference_mode()
def _padded(host: Any) -> Check:
    ids = _ids(host.tokenizer)
    short = ids[:, : ids.shape[1] // 2]
    padding = ids.shape[1] - short.shape[1]
    mask = torch.ones(2, ids.shape[1], dtype=torch.int64)
    mask[0, :padding] = 0
    batch = torch.cat([torch.cat([ids[:, :padding], short], 1), ids])
    if hasattr(host, "model"):
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        inputs = {"input_ids": batch, "attention_mask": mask, "position_ids": positions}
        together = host.model(**{name: t.to(host.device) for name, t in inputs.items()}).logits
    else:
        together = host(batch, document_ids=mask - 1).logits
    return _close("left padding", together[:1, padding:], host(short).logits)


def _spans(host: Any) -> Check:
    found = misplaced(host.tokenizer)
    detail = f"{', '.join(found)}: not where the token's text is" if found else "8 samples"
    return Check("spans", not found, detail=detail)


def _units(host: Any) -> Check:
    """The mean surprisal of a trace against the loss of the model itself; bytes are those of the tokens that have one."""
    text = TEXT
    tokens = encode_for(host, text)
    if len(tokens.sequence) > host.context_length:
        text = TEXT[: max(8, host.context_length // 4)]
        tokens = encode_for(host, text)
    read = trace(host, text, tokens=tokens)
    surprisal = np.asarray(read.surprisal)
    known = ~np.isnan(surprisal)
    nats = float(surprisal[known].mean())
    size = int((read.spans[known, 1] - read.spans[known, 0]).sum())
    per_byte = nats * int(known.sum()) / size
    found = abs(nats - _own_loss(host, torch.from_numpy(tokens.sequence)[None], len(tokens.prefix)))
    limit = NATS if _limit(host) < NARROW else NARROW / 10
    detail = f"{nats:.3f} nats per token, {bits_per_byte(per_byte):.3f} bits per byte"
    return Check("units", math.isfinite(found) and found <= limit, found, limit, detail)


@torch.inference_mode()
def _own_loss(host: Any, ids: Tensor, prefix: int) -> float:
    """The loss by the model's own code, with the tokens before the text left out."""
    if not hasattr(host, "model"):
        log = host(ids).logits.double().log_softmax(-1)[:, :-1]
        return float(-log.gather(-1, ids[:, 1:, None])[:, max(0, prefix - 1) :].mean())
    labels = ids.clone()
    labels[:, :prefix] = -100
    return float(host.model(input_ids=ids.to(host.device), labels=labels.to(host.device)).loss)


def move(grafted: Any, seed: int = 0) -> None:
    """Gives the increments of a graft values away from 1, which differ from token to token."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in grafted.increment_modules.named_parameters():
            if "weight" in name:
                scale = 0.5 if "output" in name else 0.3
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)


def _ids(tokenizer: Any) -> Tensor:
    """The tokens of the text, at most 48 of them, which every attention window holds."""
    return torch.from_numpy(tokenizer.encode(TEXT).sequence[:48])[None]


@torch.inference_mode()
def _bare_logits(model: Any, ids: Tensor) -> Tensor:
    found: Tensor = model(input_ids=ids.to(model.device)).logits.cpu()
    return found


def _difference(a: Tensor, b: Tensor) -> float:
    """The largest difference of two log-probabilities, in nats, among tokens that have at least 1 in 10,000."""
    first, second = (t.cpu().double().log_softmax(-1) for t in (a, b))
    return float((first - second).abs().masked_fill(second < math.log(1e-4), 0).max())


def _close(name: str, found: Tensor, expected: Tensor) -> Check:
    limit = LIMIT.get(expected.dtype, NARROW)
    difference = _difference(found, expected)
    return Check(name, difference <= limit, difference, limit, "largest difference of a log-probability")


def _limit(host: Any) -> float:
    dtype = next(iter(getattr(host, "model", host).parameters())).dtype
    return LIMIT.get(dtype, NARROW)


def _hooks(model: Any) -> int:
    """How many hooks a model has."""
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
