"""What each kind of trace shows, in words: one home for the lead sentences, nouns and units of all views."""

from dataclasses import dataclass

from ropewalk.traces.trace import Trace


@dataclass(frozen=True)
class Kind:
    """Words for a trace: the noun for one number and for many, the sentence above a picture, and what the unit means.

    widest, pattern: how a finding begins, after the name of a row.
    """

    noun: str
    plural: str
    title: str
    lead: str
    unit: str
    widest: str
    pattern: str


_SPACING = (
    "Each row is a layer of the model, and every character stands where that layer puts it. The wider and warmer the "
    "gap before a character, the further the layer keeps it from the one before."
)
_POSITION_STEPS = (
    "Each row is a layer or head, and every character stands at the position that the model gives it."
)
_SENSITIVITY = (
    "Each row is a layer of an unchanged model. The wider and warmer the space before a token, the more the model's "
    "predictions depend on the distance to the token before it. It does not say which distance would be better."
)
_FORGETTING = (
    "Each row is a layer whose attention fades with distance. The wider and warmer the space before a token, the more of "
    "everything before it the layer forgets there."
)
_UNITS = {
    "token-equivalents": "1 is the fixed distance between neighboring tokens in an ordinary model",
}


def describe(trace: Trace) -> Kind:
    """The words for this trace."""
    unit = _UNITS.get(trace.unit, "")
    if trace.kind == "sensitivity":
        title, begin = "Which gaps do a model's predictions depend on?", "depends most on the gap"
        return Kind("sensitivity", "sensitivities", title, _SENSITIVITY, unit, begin, "is most sensitive")
    if trace.kind == "forget":
        title, begin = "Where does a model forget what came before?", "forgets most"
        unit = "at 1, the weight of everything before the token falls to 37%" if trace.unit == "nats" else ""
        return Kind("decay", "decays", title, _FORGETTING, unit, begin, "forgets most")
    title = "How far apart does a model think its tokens are?"
    lead = _POSITION_STEPS if trace.kind == "position" else _SPACING
    return Kind("gap", "gaps", title, lead, unit, "puts its widest gap", "has wide gaps")
