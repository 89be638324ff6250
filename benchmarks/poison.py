"""Quotes among which one of a hundred is bad, against the same quotes without bad ones.

Hypothesis: bad records cost little more than good ones, though each is published again to the dead
letters, and acknowledged there, before the position moves past it.

Work: as `benchmarks.bars`, but three times the quotes, so that the second until the last flush
weighs less. In the poisoned log every hundredth record breaks a rule: text, a price below 0, a
number in quotes, half a record, a far future, in turn. Each run has its own log, made before it. It
ends when the position is the log's end. Afterwards the bars in Redis must hold each good quote
once, and the dead letters each bad one. One run before the first round is not counted.
"""

from collections.abc import Iterable, Iterator
from itertools import cycle
from typing import Final

from benchmarks.bars import OurBars, check_bars
from benchmarks.stage import ContenderError
from contracts.keyspace import Keyspace
from contracts.messages import Quote, encode, key_of
from contracts.topics import QUOTES, dead_letters
from infra import broker as brokers
from infra.dead_letters import read
from runtime.stores import Store
from runtime.topology import Topology

EVERY: Final = 100
DEAD_LETTERS: Final = dead_letters(QUOTES).name

BAD_VALUES: Final = (
    b"not JSON",
    b'{"instrument_id":4,"price":-1,"ts":1629061628123}',
    b'{"instrument_id":"4","price":1,"ts":1629061628123}',
    b'{"instrument_id":4,"price":1,"ts":162906',
    b'{"instrument_id":4,"price":1,"ts":253402300799999}',
)


def poisoned(quotes: Iterable[Quote]) -> Iterator[tuple[bytes, bytes]]:
    """Return each quote's key and value; each `EVERY`th value is a bad one."""
    bad = cycle(BAD_VALUES)
    for place, quote in enumerate(quotes):
        yield key_of(quote), next(bad) if place % EVERY == EVERY - 1 else encode(quote)


class PoisonedBars(OurBars):
    """How far our worker is with a log of which some records are bad."""

    def __init__(
        self, store: Store, keyspace: Keyspace, topology: Topology, records: int, broker: str
    ) -> None:
        super().__init__(store, keyspace, topology, records)
        self._bad = records // EVERY
        self._broker = broker

    def check(self) -> None:
        """Check that each good quote is in one bar, and each bad one among the dead letters."""
        check_bars(self._store, self._keyspace, self.records - self._bad)
        found = len(read(brokers.admin(self._broker), self._broker, QUOTES, None))
        if found != self._bad:
            raise ContenderError(f"{self._bad} records were bad, but {found} are dead letters")
