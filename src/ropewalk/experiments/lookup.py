"""Experiment: questions about key-value pairs."""

from __future__ import annotations

from ropewalk.analyses.lookup import lookup
from ropewalk.analyses.result import Result
from ropewalk.corpus import LookupConfig
from ropewalk.experiments._base import Experiment, Inputs, native
from ropewalk.experiments._provenance import built_in, run_of
from ropewalk.measure.lookup import answer_questions


def run(inputs: Inputs) -> list[Result]:
    """All variants answer the questions of the task that the first model was trained on."""
    config = LookupConfig.model_validate(built_in(inputs.native[0], "lookup"))
    paired = bool(inputs.baselines)
    answers = {
        name: {
            run_of(model).seed if paired else i: answer_questions(model, config)
            for i, model in enumerate(native(models))
        }
        for name, models in inputs.variants.items()
    }
    seen = f"{run_of(inputs.native[0]).bytes / 1e6:.3g} MB" if paired else ""
    return [lookup(answers, inputs.baseline if paired else None, seen)]


EXPERIMENT = Experiment(
    name="lookup",
    help="Accuracy on key-value questions, for models trained on them.",
    documentation=(
        "Documents of key-value pairs and questions that no training run saw; each variant answers the same ones. Differences "
        "from the baseline are paired by seed and corrected by Holm over variants."
    ),
    primary="Mean accuracy of the first variant minus the baseline's, over paired seeds",
    null="0; without a baseline, chance",
    run=run,
    optional=("baseline",),
    compares=True,
)
