"""Small traces with a known pattern: wide gaps before spaces and line ends, more noise in later layers."""

from typing import Any

import numpy as np

from ropewalk.core.rows import Row
from ropewalk.tokens.utf8_bytes import byte_spans, encode
from ropewalk.traces.trace import Trace

ENGLISH = "The old rope maker walked on."
CHINESE = "我们在图书馆里读书。"
ARABIC = "كتب الرجل رسالة إلى صديقه."
FAMILY = "e\u0301a 👩‍👩‍👧 👍🏽"


def sample(
    text: str = ENGLISH, layers: int = 6, heads: int = 0, seed: int = 0, name: str = "a model", **other: Any
) -> Trace:
    data = encode(text)
    draw = np.random.default_rng(seed)
    wide = np.array([6.0 if byte in b" \n" else 0.9 for byte in data])
    rows, values = [], []
    for layer in range(layers):
        for head in range(heads or 1):
            rows.append(Row(layer, head if heads else None))
            values.append(
                np.minimum(wide ** (1 - layer / layers) * np.exp(draw.normal(0, 0.2, len(data))), 9.95)
            )
    entropy = draw.gamma(2.0, 0.7, len(data))
    content: dict[str, Any] = {
        "kind": "increment", "unit": "token-equivalents", "gap": "before", "values": np.array(values),
        "rows": tuple(rows), "surprisal": draw.gamma(1.2, 1.2, len(data)), "entropy": entropy,
        "entropy_after": np.roll(entropy, -1), "context": {"start": "document", "window": 512, "windows": 1},
        "provenance": {"name": name, "parametrization": "bounded", "max_increment": 10.0},
    }  # fmt: skip
    return Trace(text=text, tokens=np.array(data), spans=byte_spans(text), **(content | other))
