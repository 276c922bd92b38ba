"""What each kind of trace shows, in words: the lead sentences, nouns and units of all views."""

from dataclasses import dataclass

from ropewalk.traces.trace import Trace


@dataclass(frozen=True)
class Kind:
    """Words for a trace: the noun for one number and for many, the sentence above rows and above a heat map, what the unit means.

    widest, pattern: how a finding begins, after the name of a row.
    """

    noun: str
    plural: str
    title: str
    lead: str
    squares: str
    unit: str
    widest: str
    pattern: str


_SPACING = (
    "Each row is a layer of the model, and every character stands where that layer puts it. The wider and warmer the "
    "gap before a character, the further the layer keeps it from the one before."
)
_SQUARES = (
    "Each row of squares is a layer of the model, and each column is a character or token of the text below. The warmer a "
    "square, {warm}; blue is less than the row's mean."
)
_POSITION_STEPS = (
    "Each row is a layer or head, and every character stands at the position that the model gives it."
)
_SENSITIVITY = (
    "Each row is a layer of an unchanged model. The wider and warmer the space before a token, the more the model's "
    "predictions of the next tokens would change if that layer moved the token a little closer to or further from the one "
    "before it. It does not say which distance would be better."
)
_FORGETTING = (
    "Each row is a layer whose attention fades with distance. The wider and warmer the space before a token, the more of "
    "everything before it the layer forgets there."
)
_FURTHER = "the further the layer keeps that token from the one before it"
_DEPENDS = (
    "the more the model's predictions of the next tokens would change if that layer moved the token a little closer to or "
    "further from the one before it"
)
_FORGETS = "the more of everything before that token the layer forgets there"
_UNITS = {
    "token-equivalents": "1 is the fixed distance between neighboring tokens in an ordinary model",
}


def describe(trace: Trace) -> Kind:
    """The words for this trace."""
    unit = _UNITS.get(trace.unit, "")
    if trace.kind == "sensitivity":
        title, begin = "Which gaps do a model's predictions depend on?", "depends most on the gap"
        squares = f"{_SQUARES.format(warm=_DEPENDS)} It does not say which distance would be better."
        return Kind(
            "sensitivity", "sensitivities", title, _SENSITIVITY, squares, unit, begin, "is most sensitive"
        )
    if trace.kind == "forget":
        title, begin = "Where does a model forget what came before?", "forgets most"
        unit = "at 1, the weight of everything before the token falls to 37%" if trace.unit == "nats" else ""
        squares = _SQUARES.format(warm=_FORGETS)
        return Kind("decay", "decays", title, _FORGETTING, squares, unit, begin, "forgets most")
    title = "How far apart does a model think its tokens are?"
    lead = _POSITION_STEPS if trace.kind == "position" else _SPACING
    squares = _SQUARES.format(warm=_FURTHER)
    return Kind("gap", "gaps", title, lead, squares, unit, "puts its widest gap", "has wide gaps")
