"""The published test of two-word names: their inner space against that of the reversed order, 79 pairs in five templates.

The list is the published one, https://github.com/brendanlong/learned-position-increments-experiment; the templates are ours.
An increment is causal: at the inner space only the first word has been read, so this shows whether the first word makes the
model expect a continuation. Frequency is not controlled for; `entities` has the stricter comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.entities import share, smaller
from ropewalk.analyses.result import Chart, Result
from ropewalk.core.rows import Row

NAMES = """
United States|United Kingdom|South Korea|North Korea|South Africa|Saudi Arabia|Sri Lanka|Costa Rica|New Zealand|Sierra Leone
El Salvador|Czech Republic|Burkina Faso|Dominican Republic|San Marino|Great Britain|Ivory Coast|Cape Verde|Hong Kong
Puerto Rico|New York|Los Angeles|San Francisco|Las Vegas|New Orleans|San Diego|Santa Monica|Buenos Aires|Mexico City
New Delhi|Tel Aviv|Saint Petersburg|Cape Town|Kansas City|Albert Einstein|Isaac Newton|Marie Curie|Charles Darwin
William Shakespeare|Abraham Lincoln|George Washington|Winston Churchill|Nelson Mandela|Steve Jobs|Bill Gates|Mark Twain
Julius Caesar|Thomas Edison|Martin Luther|World War|Cold War|Wall Street|Silicon Valley|White House|Supreme Court
United Nations|World Bank|Red Cross|Roman Empire|Middle Ages|Big Bang|Black Sea|Red Sea|Mount Everest|Niagara Falls
Pacific Ocean|Atlantic Ocean|Indian Ocean|Great Wall|Solar System|Milky Way|North America|South America|Star Wars
Harry Potter|New Testament|Old Testament|Holy Land|Far East
"""
TEMPLATES = ("{}", "a map of {}", "He wrote about {}", "without {}", "we all remember {}")
ALL, DISTINCT = "all", "no word twice"
PUBLISHED = {"L2": 0.71, "L3": 0.66, "L4": 0.77, "L5": 0.78}
"""Share of pairs with the smaller increment in the real order; no effect in L0 and L1."""
COLUMNS = {
    "list": "pairs",
    "row": "row",
    "pairs": "number",
    "real": "real order",
    "reversed": "reversed order",
    "share": "share smaller",
    "threshold": "threshold",
    "p": "p (Wilcoxon)",
    "holm": "p (Holm)",
    "published": "published share",
}


def names() -> list[tuple[str, str]]:
    """The pairs, in the published order."""
    entries = (entry.split(" ") for line in NAMES.strip().splitlines() for entry in line.split("|"))
    return [(first, second) for first, second in entries]


def distinct(pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """(P,) bool: pairs of which no word occurs in an earlier one that is kept."""
    seen, keep = set[str](), []
    for pair in pairs:
        keep.append(seen.isdisjoint(pair))
        if keep[-1]:
            seen.update(pair)
    return np.array(keep)


def published_names(
    rows: Sequence[Row],
    real: np.ndarray,
    reversed_order: np.ndarray,
    keep: np.ndarray,
    drawn: Sequence[Row] = (),
    random: np.ndarray | None = None,
) -> Result:
    """real, reversed_order: (S, P, N), the increments at the inner space of S models in both orders. keep: (P,), of `distinct`.
    drawn, random: rows of random networks, and their differences (S, P, L * draws)."""
    table: list[dict[str, Any]] = []
    for name, chosen in ((ALL, np.ones_like(keep)), (DISTINCT, keep)):
        d = (real - reversed_order)[:, chosen]
        p = [statistics.signed_rank(d[:, :, n].mean(0)) for n in range(len(rows))]
        for n, (row, adjusted) in enumerate(zip(rows, statistics.holm(p), strict=True)):
            e = share(d[:, :, n])
            threshold = None
            if random is not None:
                own = [i for i, one in enumerate(drawn) if one.layer == (row.layer or 0)]
                null_sample = smaller(random[:, chosen][:, :, own]).mean((0, 1))
                threshold = statistics.null_threshold(e.value, null_sample, 0.5)
            table.append(
                {
                    "list": name,
                    "row": str(row),
                    "pairs": d.shape[1],
                    "real": float(real[:, chosen, n].mean()),
                    "reversed": float(reversed_order[:, chosen, n].mean()),
                    "share": e.value,
                    "share_low": e.low,
                    "share_high": e.high,
                    "threshold": threshold,
                    "p": p[n],
                    "holm": adjusted,
                    "published": PUBLISHED.get(str(row)) if name == ALL else None,
                }
            )
    return Result(
        "names",
        "The inner space of two-word names against the reversed order, published list",
        COLUMNS,
        tuple(table),
        ("share",),
        chart=Chart("bars", "row", "share", by="list", base=0.5),
        notes=(
            f"{len(real)} model(s), {len(keep)} pairs in {len(TEMPLATES)} templates each, an end-of-document token before them. "
            "The unit of the test is the pair, averaged over templates and models; Holm over rows. Published p: L2 3e-5, L3 "
            "6e-5, L4 3e-8, L5 3e-7; 59 pairs of which no word occurs twice: L2 5e-4, L4 2e-5, L5 9e-5.",
            "Exploratory: a replication. The reversed order is rarer, so a smaller increment may mean no more than a more "
            "frequent pair.",
        ),
    )
