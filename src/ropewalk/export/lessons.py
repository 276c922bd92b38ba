"""Three guided examples, each with one sentence that the model's own numbers support.

A lesson compares the mean gap before one kind of byte with that before another, layer by layer, and names the
layer where they differ most; where no layer differs on average, it says so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ropewalk.traces.trace import Trace

Kind = Callable[[int, int], bool]
"""Whether the gap before a byte, given the byte before it and the byte itself, is of a kind."""


PLAIN = 1.2
"""Below this ratio a lesson says that the model does not show it."""


@dataclass(frozen=True)
class Lesson:
    """An example text, and which gaps to compare: `wide` against `plain`, both in words."""

    title: str
    text: str
    opening: str
    wide: Kind
    wide_name: str
    plain: Kind
    plain_name: str


def _letter(byte: int) -> bool:
    return chr(byte).isalpha() and byte < 128


def _continues(byte: int) -> bool:
    return 0x80 <= byte < 0xC0


LESSONS = (
    Lesson(
        "English",
        "The rope maker walked backwards, and the rope grew longer.",
        "Are words kept apart?",
        lambda before, byte: byte == 32,
        "the gap before a space",
        lambda before, byte: _letter(before) and _letter(byte),
        "the gap between two letters of a word",
    ),
    Lesson(
        "中文",
        "我在北京大学学习，每天去图书馆看书。",
        "Are clauses kept apart?",
        lambda before, byte: byte in (0xE3, 0xEF) and _continues(before),  # ， and 。 begin with these bytes
        "the gap before a comma or full stop",
        lambda before, byte: 0xE4 <= byte <= 0xE9 and _continues(before),
        "the gap before another character",
    ),
    Lesson(
        "Code",
        'for name in names:\n    if name:\n        print("Hello, " + name)\n',
        "Are lines of code kept apart where they end?",
        lambda before, byte: byte == 10,
        "the gap before a line end",
        lambda before, byte: _letter(before) and _letter(byte),
        "the gap between two letters of a name",
    ),
)


def sentence_for(lesson: Lesson, trace: Trace) -> str:
    """The lesson's sentence for a trace of its text by a byte model with gap "before"."""
    data = trace.text.encode()
    pairs = list(pairwise(data))
    wide = [t + 1 for t, pair in enumerate(pairs) if lesson.wide(*pair)]
    plain = [t + 1 for t, pair in enumerate(pairs) if lesson.plain(*pair)]
    steps = np.abs(np.diff(trace.positions, axis=1, prepend=0.0))
    floor = np.maximum(steps[:, plain].mean(axis=1), 1e-9)
    ratios = steps[:, wide].mean(axis=1) / floor
    row = int(np.argmax(ratios))
    times = ratios[row]
    name = str(trace.rows[row])
    where = "in the one row that all layers share" if name == "all" else f"in {name}"
    if times < PLAIN:
        return (
            f"{lesson.opening} This model hardly shows it: in no layer is {lesson.wide_name} on average more "
            f"than {PLAIN} times {lesson.plain_name}."
        )
    return (
        f"{lesson.opening} Yes, most of all {where}: {lesson.wide_name} is on average {times:.1f} times "
        f"{lesson.plain_name}."
    )
