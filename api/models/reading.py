"""Reads of the served models: each returns its complete answer."""

from typing import Final

import msgspec

from api.http.replies import ONCE, Reply, reply
from api.models.answers import Decisions
from api.models.generations import NoModelYetError
from api.models.reports import experiments_answer, figures_of, models_answer
from api.redis.reading import Read
from api.redis.store import Store
from contracts.decisions import Decision
from contracts.generations import Current, decode_current
from contracts.pointer import named

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
        values = yield [("GET", self._keys.model_report(name)) for name in generations]
        figures = dict(zip(generations, map(figures_of, values), strict=True))
        return reply(models_answer(current, figures), ONCE)

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
            raise NoModelYetError
        return current
