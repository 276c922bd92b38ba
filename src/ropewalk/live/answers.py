"""Answers of the live page about a text: its trace, its loss, and the tokens that the model expects.

A request is {"model", "text", "edits", "hold"}; an answer holds plain JSON values and never a path.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ropewalk.core.host import Host
from ropewalk.errors import UserError
from ropewalk.live import gaps
from ropewalk.live.sensitivities import Sensitivities
from ropewalk.measure.attention import read_attention
from ropewalk.measure.capture import trace
from ropewalk.measure.hosts import has_increments
from ropewalk.measure.reading import read
from ropewalk.tokens.host_text import encode_for
from ropewalk.tokens.tokenized_text import TokenizedText
from ropewalk.traces.trace import Trace
from ropewalk.views import overlays, page
from ropewalk.views.page import details

LONGEST = 4000


@dataclass(frozen=True)
class Model:
    """One of the models that the page can choose."""

    host: Host

    def read(self, text: str) -> TokenizedText:
        """The tokens of a text; the host's prefix goes before the first window only."""
        return replace(encode_for(self.host, text), repeat_prefix=False)


class Answers:
    """Asks one model at a time; keeps the last traces without edits, which an edit that fixes the later layers' increments needs."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        if not models:
            raise UserError("expected at least one model for the live page, got none; name a model folder.")
        self.models = dict(models)
        self._lock = threading.Lock()
        self._untouched: OrderedDict[tuple[str, str], Trace] = OrderedDict()
        self._measured: OrderedDict[tuple[str, str], Sensitivities] = OrderedDict()

    def answer(self, request: Any) -> dict[str, Any]:
        """The answer to one request; UserError for a request that cannot be answered."""
        name, text = self._checked(request)
        model = self.models[name]
        tokens = model.read(text)
        with self._lock:
            wanted = gaps.read(request.get("edits", []), model.host.rows, len(tokens.ids))
            held = self._base(name, text, tokens) if request.get("hold") and wanted else None
            found = read(model.host, text, tokens=tokens, edit=lambda place: gaps.edit(wanted, place, held))
            result = found.trace
            if not wanted:
                self._remember(name, text, result)
            more: dict[str, Any] = {}
            if request.get("attention"):
                seen = read_attention(model.host, tokens, lambda place: gaps.edit(wanted, place, held))
                more["attention"] = details.attention(seen)
        marks, tokenizer = _marks(result), model.host.tokenizer
        loss = result.surprisal[np.isfinite(result.surprisal)]
        return {
            "entry": {
                **page.entry(result, name, marks),
                "expected": details.expected(found, tokenizer),
                **more,
            },
            "learned": has_increments(model.host),
            "model": name,
            "loss": float(loss.mean()) if len(loss) else None,
            "following": details.following(found, tokenizer),
        }

    def sensitivities(self, request: Any) -> dict[str, Any]:
        """The sensitivities of a text after one more round of draws; `done` once they stay as they are."""
        name, text = self._checked(request)
        model = self.models[name]
        tokens = model.read(text)
        with self._lock:
            if (name, text) not in self._measured:
                _keep(self._measured, (name, text), Sensitivities(model.host, text, tokens))
            measured = self._measured[name, text]
            result = measured.refine()
        return {"entry": page.entry(result, name), "model": name, "done": measured.done}

    def page(self, request: Any) -> str:
        """A self-contained page of what a request shows."""
        shown = self.sensitivities if request.get("sensitivities") else self.answer
        entry = shown(request)["entry"]
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
        _keep(self._untouched, (name, text), result)


def _keep(kept: OrderedDict[tuple[str, str], Any], key: tuple[str, str], value: Any) -> None:
    """Remember a value, and forget the oldest of more than eight."""
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > 8:
        kept.popitem(last=False)


def _marks(result: Trace) -> list[overlays.Overlay]:
    return [overlays.entropy(result)] if np.isfinite(result.entropy).any() else []
