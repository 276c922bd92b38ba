"""Answers of the live page about a text: its trace, its loss, and the tokens that the model expects.

A request is {"model", "text", "edits", "hold"}; an answer holds plain JSON values and never a path.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ropewalk.core.host import Edit, Host, Output
from ropewalk.errors import UserError
from ropewalk.live import gaps
from ropewalk.measure.capture import trace
from ropewalk.tokens.host_text import encode_for
from ropewalk.tokens.tokenized_text import TokenizedText
from ropewalk.tokens.tokenizer import ByteTokenizer, Tokenizer
from ropewalk.traces.builder import window_length, windows
from ropewalk.traces.trace import Trace
from ropewalk.views import overlays, page
from ropewalk.views.labels import visible

LONGEST = 4000
FOLLOWING = 8
GUESSES = 3


@dataclass(frozen=True)
class Model:
    """A host to ask."""

    host: Host

    def read(self, text: str) -> TokenizedText:
        """The text as the host reads it, the prefix before its first window only."""
        return replace(encode_for(self.host, text), repeat_prefix=False)


class Answers:
    """Asks one model at a time; remembers the last untouched traces, for gaps that hold the later layers."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        if not models:
            raise UserError("Expected at least one model for the live page, got none; name a model folder.")
        self.models = dict(models)
        self._lock = threading.Lock()
        self._untouched: OrderedDict[tuple[str, str], Trace] = OrderedDict()

    def answer(self, request: Any) -> dict[str, Any]:
        """The answer to one request; UserError for a request that cannot be answered."""
        name, text = self._checked(request)
        model = self.models[name]
        tokens = model.read(text)
        with self._lock:
            wanted = gaps.read(request.get("edits", []), model.host.rows, len(tokens.ids))
            held = self._base(name, text, tokens) if request.get("hold") and wanted else None
            skip = len(tokens.prefix)
            asked = _Recorder(model.host, len(tokens.ids), skip, lambda place: gaps.edit(wanted, place, held))
            result = trace(asked, text, tokens=tokens, tokens_per_pass=1)  # one window a pass, in their order
            expected, following = asked.expected()
            if not wanted:
                self._remember(name, text, result)
        marks = _marks(result)
        loss = result.surprisal[np.isfinite(result.surprisal)]
        return {
            "entry": {**page.entry(result, name, marks), "expected": expected},
            "model": name,
            "loss": float(loss.mean()) if len(loss) else None,
            "following": following,
        }

    def page(self, request: Any) -> str:
        """A self-contained page of what a request shows."""
        entry = self.answer(request)["entry"]
        return page.document({"mode": "page", "entries": [entry]})

    def untouched(self, name: str, text: str) -> Trace:
        """The trace of a text without any gap set by hand."""
        with self._lock:
            return self._base(name, text, self.models[name].read(text))

    def _checked(self, request: Any) -> tuple[str, str]:
        if not isinstance(request, dict) or not isinstance(request.get("text"), str):
            raise UserError("Expected a request with a text; reload the page.")
        name, text = request.get("model"), request["text"]
        if not isinstance(name, str) or name not in self.models:
            raise UserError("The page asked for a model that is not loaded here; reload the page.")
        if not text:
            raise UserError("The text is empty; type something.")
        if len(text) > LONGEST:
            raise UserError(f"The text has {len(text)} characters; the live page takes {LONGEST}.")
        return name, text

    def _base(self, name: str, text: str, tokens: TokenizedText) -> Trace:
        if (name, text) not in self._untouched:
            self._remember(name, text, trace(self.models[name].host, text, tokens=tokens))
        return self._untouched[name, text]

    def _remember(self, name: str, text: str, result: Trace) -> None:
        self._untouched[name, text] = result
        self._untouched.move_to_end((name, text))
        if len(self._untouched) > 8:
            self._untouched.popitem(last=False)


def _marks(result: Trace) -> list[overlays.Overlay]:
    return [overlays.entropy(result)] if np.isfinite(result.entropy).any() else []


def token_names(tokenizer: Tokenizer | None, ids: Sequence[int]) -> list[str]:
    """What each token writes, as the page shows it; a byte that is no text by its number."""
    if tokenizer is None:
        return [f"token {id_}" for id_ in ids]
    special = {id_: "end of text" for id_ in (tokenizer.end,) if id_ is not None}
    names = []
    for id_, piece in zip(ids, tokenizer.pieces(ids), strict=True):
        unreadable = not piece or "\ufffd" in piece
        byte = f"byte {id_:02X}" if isinstance(tokenizer, ByteTokenizer) else f"token {id_}"
        names.append(special.get(id_) or (byte if unreadable or not visible(piece) else visible(piece)))
    return names


class _Recorder:
    """The same host, edited, which keeps the likeliest tokens at every place it is asked about.

    count: tokens of the text; skip: of the prefix before them; edit: given the place of a pass in the text.
    """

    def __init__(self, host: Host, count: int, skip: int, edit: Callable[[int], Edit | None]) -> None:
        self.host, self.skip, self.make_edit = host, skip, edit
        self.rows, self.tokenizer, self.vocab_size = host.rows, host.tokenizer, host.vocab_size
        self.context_length, self.gap, self.describe = (
            host.context_length,
            host.gap,
            host.describe,
        )
        self.windows = list(windows(count + skip, window_length(host)))
        self.likeliest: list[list[Any]] = []

    def __call__(
        self,
        tokens: torch.Tensor,
        position_ids: torch.Tensor | None = None,
        *,
        document_ids: torch.Tensor | None = None,
        edit: Edit | None = None,
        activations: Collection[str] = (),
        kv_cache: object | None = None,
    ) -> Output:
        first, keep, _ = self.windows[len(self.likeliest)]
        edit = self.make_edit(first - self.skip)
        output = self.host(
            tokens,
            position_ids,
            document_ids=document_ids,
            edit=edit,
            activations=activations,
            kv_cache=kv_cache,
        )
        logits = output.logits[0, keep - first :].float()
        shares, ids = logits.softmax(-1).topk(min(FOLLOWING, logits.shape[-1]))
        names = token_names(self.tokenizer, ids.flatten().tolist())
        flat = [[name, round(share, 4)] for name, share in zip(names, shares.flatten().tolist(), strict=True)]
        size = ids.shape[-1]
        self.likeliest.append([flat[start : start + size] for start in range(0, len(flat), size)])
        return output

    def expected(self) -> tuple[list[Any], list[Any]]:
        """Per token of the text the likeliest tokens before it (None where unknown), and those after it."""
        after = [place for part in self.likeliest for place in part]
        before = after[:-1] if self.skip else [None, *after[:-1]]
        return [one and one[:GUESSES] for one in before], after[-1]
