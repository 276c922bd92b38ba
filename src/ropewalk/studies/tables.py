"""Tables: what each measurement does with models and texts, as one list of Results per name.

The models of one call are of one kind and differ in their seed. The commands and the studies call these
functions; nothing is measured anywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch

from ropewalk.analyses import boundaries as boundary_analysis
from ropewalk.analyses import entities as entity_analysis
from ropewalk.analyses import gain as gain_analysis
from ropewalk.analyses import gaps, gold, name_pairs, scope_delimiters, spacing
from ropewalk.analyses import planted as planted_analysis
from ropewalk.analyses.agreement import agreement
from ropewalk.analyses.byte_kinds import byte_kind_numbers
from ropewalk.analyses.causality import causality
from ropewalk.analyses.extrapolation import MULTIPLES
from ropewalk.analyses.extrapolation import extrapolation as extrapolation_analysis
from ropewalk.analyses.lookback import lookback as lookback_analysis
from ropewalk.analyses.lookup import lookup as lookup_analysis
from ropewalk.analyses.neutrality import neutrality as neutrality_analysis
from ropewalk.analyses.result import Result
from ropewalk.analyses.scopes import marks
from ropewalk.analyses.scopes import scopes as scope_analysis
from ropewalk.core.host import increments_of
from ropewalk.corpus import LookupConfig, PlantedConfig
from ropewalk.corpus.builtin import Library
from ropewalk.errors import UserError
from ropewalk.measure import random_networks, windows
from ropewalk.measure.byte_table import context_free
from ropewalk.measure.capture import trace
from ropewalk.measure.entities import controls
from ropewalk.measure.entities import entities as read_entities
from ropewalk.measure.extrapolation import loss_by_position
from ropewalk.measure.knockout import jitter, knockouts
from ropewalk.measure.lookback import lookback as read_lookback
from ropewalk.measure.lookup import lookup as ask
from ropewalk.native.decoder import Decoder

FILES = 24  # Python files
CODE = 5_000  # bytes of each
PLANTED = 40  # documents
MOVED_WINDOWS = 8


def bytes_(models: Sequence[Decoder]) -> list[Result]:
    """The published table of increments by byte kind."""
    found = [context_free(model) for model in alike(models)]
    parametrization = models[0].config.increments
    ceiling = parametrization.max_increment if parametrization.parametrization == "bounded" else None
    start = [
        context_free(random_networks.untrained(models[0], 1_000 + seed))[1]
        for seed in range(random_networks.DRAWS)
    ]
    return [spacing.by_byte(found[0][0], np.stack([table for _, table in found]), ceiling, np.stack(start))]


def spacing_(models: Sequence[Decoder], text: str) -> list[Result]:
    """By kind of character, surface marks, the widest and narrowest gaps; details from the first model."""
    traces = [trace(model, text) for model in alike(models)]
    random = [random_networks.random_networks(model, text) for model in models]
    return [spacing.by_character(traces[0]), spacing.surface(traces, random), spacing.extremes(traces[0])]


def extremes(model: Decoder) -> Result:
    """The widest and narrowest gaps of our own sentences, which a report may show."""
    return spacing.extremes(trace(model, sentences()), count=5)


def boundaries(
    models: Sequence[Decoder], dev: gold.Gold, test: gold.Gold | None, *, jieba: bool = True
) -> list[Result]:
    """Word boundaries of Chinese: the table and the nested gain. Without a test file, `dev` is split by the
    hash of its lines."""
    halves: tuple[np.ndarray | None, np.ndarray | None] = (None, None) if test else dev.halves()
    files = (dev, test or dev)
    parts = [part(model, dev, test) for model in alike(models)]
    cuts = None
    if jieba:
        known = [gaps.characters(gold.by_jieba(g)) for g in files]
        cuts = tuple(k if part is None else k.of(part) for k, part in zip(known, halves, strict=True))
    table = boundary_analysis.boundaries(parts, {"jieba": cuts[1]} if cuts else None)
    return [table, gain_analysis.gain(parts, cuts)]  # type: ignore[arg-type]


def part(
    model: Decoder, dev: gold.Gold, test: gold.Gold | None, *, draws: int = random_networks.DRAWS
) -> boundary_analysis.Part:
    """A model's gaps of both parts, with random networks beside them."""
    halves = dev.halves() if test is None else (None, None)
    seen: dict[int, tuple] = {}
    both = []
    for g, half in zip((dev, test or dev), halves, strict=True):
        if id(g) not in seen:
            random = (
                random_networks.random_networks(model, g.text, draws=draws, start="text") if draws else None
            )
            seen[id(g)] = (trace(model, g.text, start="text"), random)
        both.append(gaps.gaps(seen[id(g)][0], g, half, seen[id(g)][1]))
    return boundary_analysis.Part(*both)


def entities(models: Sequence[Decoder]) -> list[Result]:
    """Two-word names in English and Chinese."""
    read, random = [], []
    for model in alike(models):
        own, drawn = {}, {}
        networks = random_networks.Drawn(model)
        for language, between in (("en", " "), ("zh", "")):
            words = [(p.first, p.second) for p in name_pairs.pairs() if p.language == language]
            carriers = name_pairs.CARRIERS[language]  # type: ignore[index]
            chosen = controls(model, words, between, carriers)
            own[language] = read_entities(model, words, between, carriers, chosen)
            drawn[language] = read_entities(networks, words, between, carriers, chosen)
        read.append(own)
        random.append(drawn)
    return [entity_analysis.entities(models[0].rows, read, networks.rows, random)]


def knockout(
    models: Sequence[Decoder], tokens: np.ndarray, even: Sequence[Decoder] = (), count: int = 32
) -> list[Result]:
    """Other increments than a model's own; even: integer-RoPE models, which are given noise of equal spread."""
    cut = windows.cut(tokens, alike(models)[0].context_length, count)
    found = [knockouts(model, cut, byte_kind_numbers) for model in models]
    spread = float(np.mean([k.spread for k in found]))
    return [causality(found, [jitter(model, cut, spread) for model in even])]


def lookback(models: Sequence[Decoder], tokens: np.ndarray, count: int = 32) -> list[Result]:
    """Mean attended distance of every head beside its line's increments."""
    cut = windows.cut(tokens, alike(models)[0].context_length, count)[:, :-1]
    return [lookback_analysis([read_lookback(model, cut) for model in models])]


def extrapolation(
    kinds: Mapping[str, Sequence[Decoder]], tokens: np.ndarray, count: int = 16
) -> list[Result]:
    """Loss by position up to eight training lengths, or as far as the text reaches."""
    context = next(iter(kinds.values()))[0].context_length
    reach = max((m for m in MULTIPLES if len(tokens) >= 2 * (m * context + 1)), default=1)
    cut = windows.cut(tokens, reach * context, count)
    losses = {
        name: [loss_by_position(model, cut) for model in alike(members)] for name, members in kinds.items()
    }
    return [extrapolation_analysis(losses, context)]


def lookup(
    kinds: Mapping[str, Sequence[Decoder]], baseline: str | None, config: LookupConfig
) -> list[Result]:
    """The answers of every kind of model to the same questions; differences from `baseline`, paired by seed."""
    answers = {
        name: {i if baseline is None else seen(m)[0]: ask(m, config) for i, m in enumerate(alike(members))}
        for name, members in kinds.items()
    }
    megabytes = f"{seen(next(iter(kinds.values()))[0])[1] / 1e6:.3g} MB" if baseline is not None else ""
    return [lookup_analysis(answers, baseline, megabytes)]


def asked(model: Decoder) -> LookupConfig:
    """The look-up task that a model was trained on, or the usual one."""
    return LookupConfig.model_validate(_built_in(model, "lookup"))


def spoken(model: Decoder) -> PlantedConfig:
    """The planted language that a model was trained on, or the usual one without spaces."""
    return PlantedConfig.model_validate(_built_in(model, "planted") or {"script": "unspaced"})


def sentences() -> str:
    """Text of our own in two languages: every pair of words in every carrier."""
    return "\n".join(
        carrier.format(pair.joined())
        for pair in name_pairs.pairs()
        for carrier in name_pairs.CARRIERS[pair.language]
    )


def _built_in(model: Decoder, name: str) -> dict[str, Any]:
    """What a model's recipe says of its built-in source, if it has one of that name."""
    sources = model.provenance.get("recipe", {}).get("corpus", {}).get("sources", [])
    return (sources and sources[0].get(name)) or {}


def library(count: int) -> list[str]:
    """The first `count` files of the standard library that differ: those that a Python corpus holds out."""
    written = (d.text for d in Library().documents(lambda _: None) if d.text.strip())
    return list(islice(written, count))


def scopes(models: Sequence[Decoder], sources: Sequence[str]) -> list[Result]:
    """Scope delimiters of Python files, each read up to `CODE` bytes."""
    cuts = [text[: text.rfind("\n", 0, CODE) + 1] or text[:CODE] for text in sources]
    truth = [
        scope_delimiters.delimiters(text, len(cut.encode())) for text, cut in zip(sources, cuts, strict=True)
    ]
    read = []
    for model in alike(models):
        random = random_networks.Drawn(model)
        read.append(marks([trace(model, cut) for cut in cuts], truth, [trace(random, cut) for cut in cuts]))
    return [scope_analysis(read)]


def planted(models: Sequence[Decoder], config: PlantedConfig) -> list[Result]:
    """The gaps inside planted entities and phrases."""
    truth = planted_analysis.Truth(*gold.by_planted(config, PLANTED, seed=1_003))
    traces = [trace(model, truth.gold.text) for model in alike(models)]
    random = [trace(random_networks.Drawn(model), truth.gold.text) for model in models]
    return [planted_analysis.planted(traces, truth, random)]


def agreement_(models: Sequence[Decoder], text: str) -> list[Result]:
    """Agreement of two or more trainings on one text."""
    random = [random_networks.random_networks(model, text, seed=i) for i, model in enumerate(models)]
    return [agreement([trace(model, text) for model in alike(models)], random)]


def neutrality(
    kinds: Mapping[str, Sequence[Decoder]], baseline: str, tokens: np.ndarray, name: str = "neutrality"
) -> list[Result]:
    """Held-out losses as the runs recorded them, paired by seed; how far increments have moved on `tokens`.
    UserError for runs of other data or length."""
    losses = {
        kind: {seen(m)[0]: float(m.provenance.get("validation") or np.nan) for m in models}
        for kind, models in kinds.items()
    }
    data = {seen(model)[1:] for models in kinds.values() for model in models}
    if len(data) > 1:
        raise UserError(
            "the runs saw different data or different numbers of bytes; compare runs of one recipe."
        )
    megabytes = next(iter(data))[0] / 1e6
    walked = {
        kind: float(np.mean([moved(model, tokens) for model in models]))
        for kind, models in kinds.items()
        if models and models[0].config.increments.parametrization != "integer"
    }
    return [neutrality_analysis(losses, baseline, moved=walked, seen=f"{megabytes:.3g} MB", name=name)]


def moved(model: Decoder, tokens: np.ndarray) -> float:
    """Root mean square of d - 1 over a few windows of `tokens`."""
    with torch.inference_mode():
        d = increments_of(model(windows.cut(tokens, model.context_length, MOVED_WINDOWS)[:, :-1]))
    return float((d - 1).square().mean().sqrt())


def seen(model: Decoder) -> tuple[int, int, str]:
    """Seed, bytes seen and corpus of a model's run. UserError when it does not say."""
    told = model.provenance
    try:
        recipe = told["recipe"]
        count = int(told["step"]) * recipe["train"]["batch"] * recipe["model"]["context"]
        return recipe["train"]["seed"], count, told["corpus"]["hash"]
    except (KeyError, TypeError) as error:
        raise UserError(
            f"the model '{told.get('name')}' does not say how it was trained; name models of `ropewalk train`."
        ) from error


def alike(models: Sequence[Decoder]) -> Sequence[Decoder]:
    """The models, if their lines are the same. UserError otherwise, and when there are none."""
    if not models:
        raise UserError("name at least one model.")
    if any(model.rows != models[0].rows for model in models):
        raise UserError("the models have different lines; give models of one kind, one per seed.")
    return models
