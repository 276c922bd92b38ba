"""The published figures of the graft of shared increments onto SmolLM2-1.7B.

Source: Brendan Long, "How Far Apart Does a Model Think Its Tokens Are?", 2026. Its tokens are words and parts of words,
ours may be bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ropewalk.studies.claims import Claim, Place

PERPLEXITY = {"lora": (9.666, 9.653), "full": (9.469, 9.471)}
"""What is trained -> with increments, without."""
INCREMENTS = {"lora": (1.033, 0.011, 1.053), "full": (1.002, 0.003, 1.014)}
"""What is trained -> mean, standard deviation over tokens, end of text."""


def claims() -> Iterator[Claim]:
    """For variants named "lora shared" and "full shared"."""
    for trainable, (grafted, plain) in PERPLEXITY.items():
        name, difference = f"{trainable} shared", math.log(grafted / plain)
        yield Claim(
            f"loss/{name}",
            "Graft of shared increments: change of the loss (published: nats per token; ours: nats per byte of text)",
            f"{difference:+.4f} (perplexity {grafted} against {plain})",
            Place(None, f"{trainable}/neutrality", "neutrality", {"variant": name}, "difference"),
            "equivalent",
        )
        mean, std, end = INCREMENTS[trainable]
        for column, published in (("mean", f"{mean}"), ("tokens", f"{std}"), ("end", f"{end - mean:+.3f}")):
            yield Claim(
                f"{column}/{name}",
                "Graft of shared increments: mean, standard deviation over tokens, end of text minus mean",
                published,
                Place(name, "vocabulary", "increments", {"row": "all"}, column),
                "above" if column == "end" else "figure",
            )
