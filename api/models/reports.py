"""Extracts from generations' reports what the API shows. Pure."""

from collections.abc import Mapping
from typing import Final

import msgspec

from api.models.answers import Arm, Experiments, Model, Models, Trial, Variant
from api.models.figures import Figures
from contracts.generations import CANARY_VARIANT, DEFAULT_VARIANT, Current, Experiment, Served
from contracts.variants import shares

Reports = Mapping[str, Figures | None]
"""Figures by generation."""

_figures: Final = msgspec.json.Decoder(Figures)


def figures_of(value: bytes | None) -> Figures | None:
    """Return the figures of a report, None if it is gone or damaged."""
    try:
        return None if value is None else _figures.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def models_answer(current: Current, reports: Reports) -> Models:
    """Return the served models."""
    users = shares(current)
    variants = [
        Variant(name, users[name], _model(current.variants[name], reports))
        for name in sorted(current.variants, key=lambda name: (name != DEFAULT_VARIANT, name))
    ]
    if canary := current.canary:
        trial = Trial(canary.share, canary.since_ms, canary.until_ms)
        model = _model(canary.served, reports)
        variants.append(Variant(CANARY_VARIANT, users[CANARY_VARIANT], model, trial))
    return Models(
        current.experiment.name if current.experiment else None,
        variants,
        [_model(served, reports) for served in current.previous],
        current.held,
    )


def experiments_answer(current: Current) -> Experiments:
    """Return which users get which variant, and how these compare."""
    experiment, served = current.experiment or Experiment("", {}), current.variants
    weights = experiment.weights
    outcomes = {outcome.variant: outcome for outcome in experiment.outcomes}
    users = shares(msgspec.structs.replace(current, canary=None))
    arms = [
        Arm(
            name,
            weights.get(name, 0.0),
            users.get(name, 0.0),
            served[name].generation if name in served else None,
            outcomes.get(name),
        )
        for name in sorted(
            served.keys() | weights.keys(), key=lambda name: (name != DEFAULT_VARIANT, name)
        )
    ]
    if current.experiment is None:
        return Experiments(None, arms)
    return Experiments(experiment.name, arms, experiment.since_ms, experiment.until_ms)


def _model(served: Served, reports: Reports) -> Model:
    fields = {name: getattr(served, name) for name in Served.__struct_fields__}
    return Model(**fields, report=reports.get(served.generation))
