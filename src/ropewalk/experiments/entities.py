"""Experiment: is the gap inside a two-word name smaller than it would be otherwise?"""

from __future__ import annotations

from ropewalk.analyses import name_pairs
from ropewalk.analyses.entities import entities
from ropewalk.analyses.result import Result
from ropewalk.experiments._base import Experiment, Inputs
from ropewalk.measure.entities import Entities, choose_controls, read_entities
from ropewalk.measure.random_networks import RandomNetworks

LANGUAGES: tuple[tuple[name_pairs.Language, str], ...] = (("en", " "), ("zh", ""))


def run(inputs: Inputs) -> list[Result]:
    read, random = [], []
    for model in inputs.models:
        own, drawn = dict[str, Entities](), dict[str, Entities]()
        networks = RandomNetworks(model)
        for language, between in LANGUAGES:
            words = [(p.first, p.second) for p in name_pairs.pairs() if p.language == language]
            templates = name_pairs.TEMPLATES[language]
            chosen = choose_controls(model, words, between, templates)
            own[language] = read_entities(model, words, between, templates, chosen)
            drawn[language] = read_entities(networks, words, between, templates, chosen)
        read.append(own)
        random.append(drawn)
    return [entities(inputs.models[0].rows, read, networks.rows, random)]


EXPERIMENT = Experiment(
    name="entities",
    help="The gap inside two-word names, English and Chinese.",
    documentation=(
        "Names of a fixed list are read in sentence templates, in reversed order, and with another second word of equal "
        "surprisal that starts with another byte. The published comparison is the reversed order at the inner gap, in "
        "English; there only the expectation of the first word can show, because the second has not been read."
    ),
    primary="Share of names with a smaller increment than the control of equal surprisal, deeper half of the rows",
    null="Random networks on the model's residual streams; and one half",
    run=run,
)
