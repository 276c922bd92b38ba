"""Draws docs/flow.svg and docs/flow-dark.svg: how a value moves through the package. Run it after changing a box."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

DOCS = Path(__file__).parent
WIDTH, HEIGHT = 920, 388
BOX, TALL = 124, 52

COLORS = {
    "flow.svg": {
        "ink": "#1f2328",
        "soft": "#59636e",
        "line": "#8b949e",
        "box": "#f6f8fa",
        "own": "#fbe6cf",
        "edge": "#d1d9e0",
    },
    "flow-dark.svg": {
        "ink": "#e6edf3",
        "soft": "#9198a1",
        "line": "#6e7681",
        "box": "#1c2128",
        "own": "#4a3010",
        "edge": "#3d444d",
    },
}

# text, second line, column, row, whether it is what this project adds
FORWARD = [
    ("text", "corpus/", 0, 0, False),
    ("tokens", "tokens/", 1, 0, False),
    ("hidden states", "native/ or hf/", 2, 0, False),
    ("increments", "core/increments", 3, 0, True),
    ("positions", "core/positions", 4, 0, True),
    ("rotation", "core/encoding", 5, 0, True),
    ("attention", "core/attention", 5, 1, False),
    ("logits", "native/ or hf/", 4, 1, False),
    ("loss", "core/loss", 3, 1, False),
    ("weights", "training/", 2, 1, False),
]
BELOW = [
    ("host", "core/host", 0, 2, True),
    ("measurement", "measure/", 1, 2, False),
    ("trace", "traces/", 2, 2, True),
    ("analysis", "analyses/", 3, 2, False),
    ("result", "experiments/", 4, 2, False),
    ("report", "studies/", 5, 2, False),
    ("view", "views/, live/", 3, 3, False),
    ("page, picture", "export/, cli/", 4, 3, False),
]
ARROWS = [
    ((0, 0), (1, 0), ""), ((1, 0), (2, 0), ""), ((2, 0), (3, 0), ""), ((3, 0), (4, 0), "sum"), ((4, 0), (5, 0), ""),
    ((5, 0), (5, 1), ""), ((5, 1), (4, 1), ""), ((4, 1), (3, 1), ""), ((3, 1), (2, 1), ""), ((2, 1), (2, 0), ""),
    ((0, 2), (1, 2), ""), ((1, 2), (2, 2), ""), ((2, 2), (3, 2), ""), ((3, 2), (4, 2), ""), ((4, 2), (5, 2), ""),
    ((2, 2), (3, 3), ""), ((3, 3), (4, 3), ""),
]  # fmt: skip
ROWS = (34, 124, 232, 316)


def corner(column: int, row: int) -> tuple[float, float]:
    return 14 + column * (BOX + 29), ROWS[row]


def arrow(a: tuple[int, int], b: tuple[int, int], color: str) -> str:
    (ax, ay), (bx, by) = corner(*a), corner(*b)
    if a[1] == b[1]:
        right = bx > ax
        start = (ax + (BOX if right else 0), ay + TALL / 2)
        end = (bx + (-2 if right else BOX + 2), by + TALL / 2)
    elif a[0] == b[0]:
        down = by > ay
        start, end = (
            (ax + BOX / 2, ay + (TALL if down else 0)),
            (bx + BOX / 2, by + (-2 if down else TALL + 2)),
        )
    else:
        start, end = (ax + BOX / 2, ay + TALL), (bx - 2, by + TALL / 2)
        return (
            f'<path d="M{start[0]} {start[1]}V{end[1]}H{end[0]}" fill="none" stroke="{color}" stroke-width="1.5" '
            'marker-end="url(#tip)"/>'
        )
    return (
        f'<path d="M{start[0]} {start[1]}L{end[0]} {end[1]}" fill="none" stroke="{color}" stroke-width="1.5" '
        'marker-end="url(#tip)"/>'
    )


def drawing(colors: dict[str, str]) -> str:
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="ui-sans-serif, system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" text-anchor="middle">',
        "<title>How a value moves through ropewalk</title>",
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8Z" fill="{colors["line"]}"/></marker></defs>',
        f'<text x="14" y="20" font-size="13" text-anchor="start" fill="{colors["soft"]}">Forward pass and training</text>',
        f'<text x="14" y="218" font-size="13" text-anchor="start" fill="{colors["soft"]}">Measurement: a host is anything that '
        "does the forward pass</text>",
    ]
    parts += [arrow(a, b, colors["line"]) for a, b, _ in ARROWS]
    for name, place, column, row, own in FORWARD + BELOW:
        x, y = corner(column, row)
        parts.append(
            f'<rect x="{x}" y="{y}" width="{BOX}" height="{TALL}" rx="6" fill="{colors["own" if own else "box"]}" '
            f'stroke="{colors["edge"]}"/>'
            f'<text x="{x + BOX / 2}" y="{y + 22}" font-size="14" font-weight="600" fill="{colors["ink"]}">{escape(name)}</text>'
            f'<text x="{x + BOX / 2}" y="{y + 40}" font-size="12" fill="{colors["soft"]}">{escape(place)}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    for name, colors in COLORS.items():
        (DOCS / name).write_text(drawing(colors), encoding="utf-8")
