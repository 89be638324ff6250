"""Extracts from generations' reports what the API shows. Pure."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from api.models.answers import Arm, Experiments, Model, Models, Trial, Variant
from api.models.figures import Figures
from contracts.decisions import Decision, Standing
from contracts.generations import CANARY_VARIANT, DEFAULT_VARIANT, Current, Served
from contracts.variants import shares

Reports = Mapping[str, Figures | None]
"""Figures by generation."""

_figures: Final = msgspec.json.Decoder(Figures)
_standing: Final = msgspec.json.Decoder(Standing)
_NO_REPORT: Final = (msgspec.MsgspecError, UnicodeDecodeError)


def figures_of(value: bytes | None) -> Figures | None:
    """Return the figures of a report, None if it is gone, damaged, or from another release."""
    try:
        return None if value is None else _figures.decode(value)
    except _NO_REPORT:
        return None


def with_decision(value: bytes | None, decision: Decision) -> bytes | None:
    """Return a report with a decision added; None if there is no report to add it to.

    >>> decision = Decision("2021-08-16", "g1", "default", "promoted", "", "api")
    >>> b"promoted" in with_decision(b'{"decisions":[]}', decision), with_decision(None, decision)
    (True, None)
    """
    try:
        report: Any = msgspec.json.decode(value) if value is not None else None
    except _NO_REPORT:
        return None
    if not isinstance(report, dict):
        return None
    decisions = [*report.get("decisions", ()), msgspec.to_builtins(decision)]
    return msgspec.json.encode({**report, "decisions": decisions})


def standing_of(value: bytes | None, current: Current) -> Standing | None:
    """Return the canary's standing so far, None if it is another's, or from another release."""
    try:
        standing = None if value is None else _standing.decode(value)
    except _NO_REPORT:
        return None
    canary = current.canary
    of_this = standing and canary and standing.generation == canary.served.generation
    return standing if of_this else None


def models_answer(current: Current, reports: Reports, so_far: Standing | None) -> Models:
    """Return the served models; `so_far` is the canary's standing."""
    users = shares(current)
    variants = [
        Variant(name, users[name], _model(current.variants[name], reports))
        for name in sorted(current.variants, key=lambda name: (name != DEFAULT_VARIANT, name))
    ]
    if canary := current.canary:
        trial = Trial(canary.share, canary.since_ms, so_far)
        model = _model(canary.served, reports)
        variants.append(Variant(CANARY_VARIANT, users[CANARY_VARIANT], model, trial))
    return Models(
        current.experiment.name if current.experiment else None,
        variants,
        [_model(served, reports) for served in current.previous],
        current.held,
    )


def experiments_answer(current: Current) -> Experiments:
    """Return which users get which variant."""
    experiment, served = current.experiment, current.variants
    weights = experiment.weights if experiment else {}
    users = shares(msgspec.structs.replace(current, canary=None))
    arms = [
        Arm(
            name,
            weights.get(name, 0.0),
            users.get(name, 0.0),
            served[name].generation if name in served else None,
        )
        for name in sorted(
            served.keys() | weights.keys(), key=lambda name: (name != DEFAULT_VARIANT, name)
        )
    ]
    return Experiments(experiment.name if experiment else None, arms)


def _model(served: Served, reports: Reports) -> Model:
    fields = {name: getattr(served, name) for name in Served.__struct_fields__}
    return Model(**fields, report=reports.get(served.generation))
