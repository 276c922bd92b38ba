"""What an experiment declares, and what it is run on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from ropewalk.errors import UserError
from ropewalk.experiments._source import source_hash

if TYPE_CHECKING:
    import numpy as np

    from ropewalk.analyses.gold import Gold
    from ropewalk.analyses.result import Result
    from ropewalk.core.host import Host
    from ropewalk.native.decoder import Decoder

Need = Literal["text", "tokens", "gold", "baseline"]
"""text: a held-out text. tokens: held-out tokens. gold: segmented sentences. baseline: integer-RoPE models of the same
seeds."""


@dataclass(frozen=True)
class Inputs:
    """What an experiment is run on; it reads the fields that it declares.

    variants: name -> hosts of one kind, one per seed; the first variant is the one that the experiment is about.
    baseline: the name of the variant to compare with, if it is there. text: held out; quote: whether tables may quote it.
    tokens: (T,) held out. dev, test: segmented sentences; without `test`, `dev` is split in halves. windows: how many
    windows of `tokens` to read. jieba: whether to score jieba too. `replace(inputs, ...)` changes some of them.
    """

    variants: Mapping[str, Sequence[Host]]
    baseline: str | None = None
    text: str = ""
    quote: bool = True
    tokens: np.ndarray | None = None
    dev: Gold | None = None
    test: Gold | None = None
    windows: int = 32
    jieba: bool = True

    @property
    def models(self) -> Sequence[Host]:
        """The models that the experiment is about. UserError when there are none, or when their rows differ."""
        models = next(iter(self.variants.values()), ())
        if not models:
            raise UserError("name at least one model.")
        if any(model.rows != models[0].rows for model in models):
            raise UserError("the models have different rows; give models of one kind, one per seed.")
        return models

    @property
    def native(self) -> list[Decoder]:
        """The same, as native models."""
        return native(self.models)

    @property
    def baselines(self) -> list[Decoder]:
        """The models to compare with; none when the baseline is not among the variants."""
        return native(self.variants.get(self.baseline, ()) if self.baseline is not None else ())

    def held_out(self) -> np.ndarray:
        """The tokens. UserError when there are none."""
        if self.tokens is None:
            raise UserError("this experiment needs a held-out text; give one.")
        return self.tokens

    def gold(self) -> tuple[Gold, Gold | None]:
        """The development and the test file. UserError when there is none."""
        if self.dev is None:
            raise UserError("this experiment needs segmented sentences; give a file of them.")
        return self.dev, self.test


def native(models: Sequence[Host]) -> list[Decoder]:
    """The models, if all of them are native. UserError otherwise."""
    from ropewalk.native.decoder import Decoder

    found = [model for model in models if isinstance(model, Decoder)]
    if len(found) < len(models):
        raise UserError("this experiment needs native models, trained by `ropewalk train`.")
    return found


@dataclass(frozen=True)
class Experiment:
    """One measurement.

    name: as on the command line, and the name of its module. help: one line. documentation: a paragraph. needs and
    optional: inputs besides models. primary: the one number that is named beforehand, and what it is compared with:
    null. run: inputs -> tables, of which the first has the primary endpoint. compares: whether it is about all variants
    at once, not about one. min_models: the number of models it needs. per_head: whether models with a row per head are of
    particular interest.
    """

    name: str
    help: str
    documentation: str
    primary: str
    null: str
    run: Callable[[Inputs], list[Result]]
    needs: tuple[Need, ...] = ()
    optional: tuple[Need, ...] = ()
    compares: bool = False
    min_models: int = 1
    per_head: bool = False

    @property
    def source(self) -> str:
        """The module of the experiment."""
        return f"ropewalk.experiments.{self.name}"

    @property
    def code(self) -> str:
        """A hash of the source behind the verdict: this experiment's, and of the analyses and measurements it uses."""
        return source_hash(self.source)

    def measure(self, inputs: Inputs) -> list[Result]:
        """Runs the experiment. Its tables say which experiment and which code made them."""
        made = self.run(inputs)
        stamp = {"source": self.source, "code": self.code}
        return [replace(result, provenance={**result.provenance, **stamp}) for result in made]
