"""Reads of the served models: each returns its complete answer."""

from collections.abc import Mapping
from typing import Final

import msgspec

from api.generations.answers import (
    Arm,
    Decisions,
    Experiments,
    Figures,
    Model,
    Models,
    Trial,
    Variant,
)
from api.generations.pointer import NoModelYetError, decode_under_way
from api.http.reply import ONCE, Reply, reply
from api.redis.reading import Read
from api.redis.store import Store
from contracts.generations import (
    CANARY_VARIANT,
    DEFAULT_VARIANT,
    Current,
    Decision,
    Experiment,
    Served,
    UnderWay,
    decode_current,
)
from contracts.pointer import named, shares

Reports = Mapping[str, Figures | None]
"""Figures by generation."""

_figures: Final = msgspec.json.Decoder(Figures)


def figures_of(value: bytes | None) -> Figures | None:
    """Return the figures of a report, None if it is gone or damaged."""
    try:
        return None if value is None else _figures.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def models_answer(current: Current, reports: Reports, under_way: UnderWay | None) -> Models:
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
        under_way,
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


MAX_REPORTS: Final = 20
"""Per answer; further generations come without figures."""

_decision: Final = msgspec.json.Decoder(Decision)


class ModelReader:
    """Reads the models of one namespace."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys = store.keys

    def models(self) -> Read[Reply]:
        """Answer with the served models."""
        current = yield from self.current()
        generations = sorted(named(current), reverse=True)[:MAX_REPORTS]
        reports = [("GET", self._keys.model_report(name)) for name in generations]
        doing, *values = yield [("GET", self._keys.model_under_way()), *reports]
        figures = dict(zip(generations, map(figures_of, values), strict=True))
        return reply(models_answer(current, figures, decode_under_way(doing or "null")), ONCE)

    def experiments(self) -> Read[Reply]:
        """Answer with which users get which variant."""
        return reply(experiments_answer((yield from self.current())), ONCE)

    def decisions(self, n: int) -> Read[Reply]:
        """Answer with the latest decisions, newest first."""
        (values,) = yield [("LRANGE", self._keys.model_decisions(), 0, n - 1)]
        return reply(Decisions([_decision.decode(value) for value in values]), ONCE)

    def current(self) -> Read[Current]:
        """Return what is served.

        Raises:
            NoModelYetError: nothing is served.
        """
        (value,) = yield [("GET", self._keys.model_current())]
        current = decode_current(value)
        if current is None or not current.variants:
            (doing,) = yield [("GET", self._keys.model_under_way())]
            raise NoModelYetError(decode_under_way(doing or "null"))
        return current
