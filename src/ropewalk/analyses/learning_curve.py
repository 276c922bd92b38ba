"""The curve: how well increments and entropy tell word boundaries, against the bytes a model has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.boundaries import Part
from ropewalk.analyses.result import Chart, Result


@dataclass(frozen=True, eq=False)
class Point:
    """One checkpoint of one seed."""

    seed: int
    megabytes: float
    part: Part


def curve(points: Sequence[Point], name: str) -> Result:
    """Test AUC of the line and sign chosen on development, and of the entropy before the character."""
    rows = []
    for point in points:
        dev, test = point.part.dev, point.part.test
        scored = [statistics.auc(values, dev.labels) for values in dev.rows]
        line = int(np.argmax(np.abs(np.array(scored) - 0.5)))
        increment = statistics.auc(test.rows[line], test.labels)
        entropy = statistics.auc(test.signals["entropy before"], test.labels)
        for reader, value in (
            (f"increments, seed {point.seed}", increment if scored[line] >= 0.5 else 1 - increment),
            (f"entropy, seed {point.seed}", entropy),
        ):
            rows.append(
                {"reader": reader, "megabytes": point.megabytes, "auc": value, "line": dev.names[line]}
            )
    rows.sort(key=lambda row: (str(row["reader"]), float(str(row["megabytes"]))))
    return Result(
        "curve",
        f"Word boundaries against bytes seen, {name}",
        {"reader": "reader", "megabytes": "MB seen", "auc": "AUC, test", "line": "line chosen"},
        tuple(rows),  # type: ignore[arg-type]
        chart=Chart("lines", "megabytes", "auc", by="reader", base=0.5),
        notes=(
            "Exploratory. The rate of learning falls as a cosine, so that a point is no shorter training.",
        ),
    )
