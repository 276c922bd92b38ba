"""The probe of a frozen Hugging Face model: token passes, time and standard errors of a gap, against the method of version 0.1.0.

python bench/probe.py --model FOLDER [--busy] [--gaps N]

A token pass is one token read forward or differentiated backward. Version 0.1.0 read each gap in a segment of its own,
drew labels, and differentiated the whole segment once per draw. Both methods measure the same quantity here: gaps of a
60-token text with the whole text around them, or with equal context (32 tokens before, 16 after). The exact values
are computed by forward-mode differentiation.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import harness
import numpy as np
import torch

import ropewalk
from ropewalk.measure import probe as probing
from ropewalk.measure.hosts import with_rows_per_layer
from ropewalk.measure.probe_passes import exact_sensitivities, sampled_sensitivities
from ropewalk.measure.probe_segments import Segment

TEXT = (
    "The old harbour master closed his book, looked at the grey water behind the breakwater, and told the three "
    "students from Lisbon that no boat would leave before Thursday, because the wind that had turned the night "
    "before would bring in the heavy swell that their professor had been measuring since the first week of March."
)
TOKENS = 60
WINDOW, PAST, DRAWS = 16, 32, 8  # the defaults of version 0.1.0
OLD, NEW, EXACT = "0.1.0: a segment per gap, drawn labels", "random scores", "exact"


class Counter:
    """Counts the tokens that a host reads and that are differentiated backward; otherwise it is that host."""

    def __init__(self, host: Any) -> None:
        self.host, self.forward, self.backward, self.newest = host, 0, 0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.host, name)

    def __call__(self, tokens: torch.Tensor, *words: Any, **more: Any) -> Any:
        self.newest = tokens.numel()
        self.forward += self.newest
        return self.host(tokens, *words, **more)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Counts from 0, backward passes included, while it is entered."""
        self.forward = self.backward = 0
        original = torch.autograd.grad

        def grad(*words: Any, **more: Any) -> Any:
            self.backward += self.newest
            return original(*words, **more)

        torch.autograd.grad = grad
        try:
            yield
        finally:
            torch.autograd.grad = original


def segment_per_gap(host: Any, segments: list[Segment], seed: int) -> np.ndarray:
    """The method of version 0.1.0: squared derivatives (draws, N, T) of the log-probability of drawn labels."""
    random, found = torch.Generator().manual_seed(seed), []
    for segment in segments:
        (_, index), end = segment.gaps[0], segment.ends[0]
        leaves: dict[Any, torch.Tensor] = {}

        def edit(row: Any, d: torch.Tensor, index: int = index, leaves: dict = leaves) -> torch.Tensor:
            leaves[row] = torch.zeros(1, requires_grad=True)
            return d + torch.nn.functional.one_hot(torch.tensor(index), d.shape[1]) * leaves[row]

        with torch.enable_grad():
            tokens = torch.from_numpy(segment.tokens)[None, :end]
            log = torch.log_softmax(host(tokens, edit=edit).logits[0, index:].float(), -1)
            squares = []
            for draw in range(DRAWS + 1):  # the last one stands for the text's own labels
                labels = torch.multinomial(log.detach().exp().double(), 1, generator=random)
                grads = torch.autograd.grad(
                    log.gather(-1, labels).sum(),
                    [leaves[row] for row in host.rows],
                    retain_graph=draw < DRAWS,
                )
                squares.append([float(g) ** 2 / (end - index) for g in grads])
        found.append(squares[:DRAWS])
    return np.moveaxis(np.array(found), 0, 2)


def alone(segments: list[Segment]) -> list[Segment]:
    """Every gap in a segment of its own."""
    return [
        Segment(segment.tokens, (gap,), (end,))
        for segment in segments
        for gap, end in zip(segment.gaps, segment.ends, strict=True)
    ]


def compare(host: Counter, segments: list[Segment], count: int) -> dict[str, harness.Row]:
    """One row per method: token passes and seconds per gap, relative standard error, and distance from the exact values.

    The exact values and the method of version 0.1.0 are computed for `count` gaps, the new one for all.
    """
    every = alone(segments)
    picked = np.linspace(0, len(every) - 1, count).round().astype(int)
    chosen = [every[i] for i in picked]
    methods = {
        EXACT: (count, lambda: exact_sensitivities(host, chosen)[0]),
        OLD: (count, lambda: segment_per_gap(host, chosen, seed=1)),
        NEW: (len(every), lambda: sampled_sensitivities(host, segments, DRAWS, 16, seed=2)[0][..., picked]),
    }
    found, rows = {}, dict[str, harness.Row]()
    for name, (gaps, run) in methods.items():
        began = harness.clock()
        with host.counting():
            found[name] = run()
        passes = host.forward + host.backward
        rows[name] = {"seconds": (harness.clock() - began) / gaps, "token_passes": passes / gaps}
        print(name, rows[name], flush=True)
    exact = found[EXACT][0]
    estimates = {name: (found[name].mean(0), found[name].std(0, ddof=1) / DRAWS**0.5) for name in (OLD, NEW)}
    for name, (values, error) in estimates.items():
        rows[name] |= {
            "standard_error": float(np.sqrt((error**2).mean(1) / (exact**2).mean(1)).mean()),
            "over_exact": float((values.sum(1) / exact.sum(1)).mean()),
            "within_two_errors": float((np.abs(values - exact) < 2 * error).mean()),
        }
    (old, old_error), (new, new_error) = estimates[OLD], estimates[NEW]
    rows[NEW]["agree"] = float((np.abs(new - old) < 2 * np.hypot(new_error, old_error)).mean())
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(parents=[harness.OPTIONS])
    parser.add_argument("--model", default="HuggingFaceTB/SmolLM2-135M", help="a name or a folder")
    parser.add_argument("--gaps", type=int, default=4, help="how many gaps the slower methods measure")
    words = parser.parse_args()
    harness.refuse_if_busy()
    host = Counter(with_rows_per_layer(ropewalk.load(words.model)))
    encoded = host.tokenizer.encode(TEXT)
    if len(encoded.ids) < TOKENS:
        raise SystemExit(
            f"bench/probe.py: the text has {len(encoded.ids)} tokens in this model, {TOKENS} are needed."
        )
    tokens = type(encoded)(encoded.ids[:TOKENS], encoded.spans[:TOKENS], encoded.prefix)
    plan = probing.plan_probe(tokens, window=WINDOW, past=PAST)
    tables: dict[str, dict[str, harness.Row]] = {}
    findings, targets = [], []
    for title, segments in (
        ("whole text", list(probing._windows(tokens, host.context_length))),
        (
            f"equal context, {PAST} tokens before and {WINDOW} after",
            list(probing._planned(tokens, plan)),
        ),
    ):
        rows = compare(host, segments, words.gaps)
        tables[f"{title}; each gap, {DRAWS} draws"] = rows
        fewer = rows[OLD]["token_passes"] / rows[NEW]["token_passes"]
        gain = (rows[OLD]["standard_error"] / rows[NEW]["standard_error"]) ** 2
        findings.append(
            f"{title.capitalize()}: {fewer:.1f} times fewer token passes per gap, and {gain:.1f} times less variance with as many "
            f"draws; {rows[NEW]['agree']:.0%} of the values agree with those of 0.1.0 within two standard errors of the "
            "difference."
        )
        targets.append(
            [
                f"{title}, token passes a gap that 0.1.0 needs over ours, at equal variance",
                fewer * gain,
                ">=",
                5.0,
            ]
        )
        print(findings[-1], flush=True)
    harness.report("probe", {"tables": tables, "findings": findings, "targets": targets})


if __name__ == "__main__":
    main()
