"""Writes golden.json: one trace, and where its cells stand in every scale. Run by hand when the geometry changes."""

import json
from pathlib import Path

from ropewalk.views.scene import SCALES, scene

HERE = Path(__file__).with_name("golden.json")
TEXT = "New York 图书馆 e\u0301 👩‍👩‍👧\n."


def write() -> None:
    from samples import sample

    trace = sample(TEXT, layers=3, heads=2, seed=5)
    scenes = {}
    for scale in SCALES:
        drawn = scene(trace, scale)
        scenes[scale] = {"x": drawn.x.tolist(), "left": drawn.left.tolist(), "end": drawn.end.tolist()}
    HERE.write_text(json.dumps({"trace": trace.dumps().decode(), "scenes": scenes}), encoding="utf-8")


if __name__ == "__main__":
    write()
