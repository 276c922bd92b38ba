"""The learning curve: how well increments and entropy tell word boundaries, against the bytes a model has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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


def learning_curve(points: Sequence[Point]) -> Result:
    """Test AUC of the row and sign chosen on development, and of the entropy before the character."""
    rows: list[dict[str, Any]] = []
    for point in points:
        dev, test = point.part.dev, point.part.test
        scored = [statistics.auc(values, dev.labels) for values in dev.increments]
        best = int(np.argmax(np.abs(np.array(scored) - 0.5)))
        increment = statistics.auc(test.increments[best], test.labels)
        entropy = statistics.auc(test.signals["entropy before"], test.labels)
        for predictor, value in (
            (f"increments, seed {point.seed}", increment if scored[best] >= 0.5 else 1 - increment),
            (f"entropy, seed {point.seed}", entropy),
        ):
            rows.append(
                {
                    "predictor": predictor,
                    "megabytes": point.megabytes,
                    "auc": value,
                    "row": dev.row_names[best],
                }
            )
    rows.sort(key=lambda row: (str(row["predictor"]), float(row["megabytes"])))
    return Result(
        "curve",
        "Word boundaries against bytes seen",
        {"predictor": "predictor", "megabytes": "MB seen", "auc": "AUC, test", "row": "row chosen"},
        tuple(rows),
        chart=Chart("lines", "megabytes", "auc", by="predictor", base=0.5),
        notes=(
            "Exploratory. The learning rate decays, so a point is not what a shorter training would reach.",
        ),
    )
