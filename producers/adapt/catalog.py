"""The catalog's symbols, read from the topic `instruments`."""

import contextlib
import time
from typing import Final, cast

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import OffsetSpec

from contracts.instruments import Instrument, decode_instrument_record
from contracts.topics import INSTRUMENTS
from producers.publisher import PublishingError
from runtime.kafka.broker import Admin

_RECORDS_AT_ONCE: Final = 10_000
_COMES_WITHIN_S: Final = 0.2
"""What was published before is fetched within this time."""
_CALL_S: Final = 10.0


class Symbols:
    """Which instrument has a symbol, ignoring case.

    If several have it, a listed one comes before one that is not, and then the lesser id, as where
    the API takes a symbol.

    >>> symbols = Symbols()
    >>> symbols.put(7, Instrument(7, symbol="ABC", name="old", listed=False))
    >>> symbols.put(9, Instrument(9, symbol="abc", name="new"))
    >>> symbols.find("Abc")
    9
    >>> symbols.put(9, None)
    >>> symbols.find("ABC")
    7
    """

    def __init__(self) -> None:
        self._entry: dict[int, tuple[str, bool]] = {}
        """id -> symbol, case folded, and whether it is listed"""
        self._ids: dict[str, set[int]] = {}
        self._found: dict[str, int] = {}
        """what was asked for, as it was written -> id"""

    def put(self, instrument_id: int, instrument: Instrument | None) -> None:
        """Take the newest record of an instrument; None removes it."""
        before = self._entry.pop(instrument_id, None)
        if before is not None:
            self._ids[before[0]].discard(instrument_id)
        if instrument is not None:
            symbol = instrument.symbol.casefold()
            self._entry[instrument_id] = symbol, instrument.listed
            self._ids.setdefault(symbol, set()).add(instrument_id)
        self._found.clear()

    def find(self, symbol: str) -> int | None:
        """Return the id of the instrument with a symbol, None if there is none."""
        found = self._found.get(symbol)
        if found is None:
            ids = self._ids.get(symbol.casefold())
            if not ids:
                return None
            found = min(ids, key=lambda each: (not self._entry[each][1], each))
            self._found[symbol] = found
        return found


class Catalog:
    """Keeps symbols up to date."""

    def __init__(self, client: Admin, group: str, symbols: Symbols) -> None:
        kafka = client.kafka
        self._client = client
        self._symbols = symbols
        self._next: dict[int, int] = {}
        """the offset after what was taken, by partition"""
        self._consumer = Consumer(
            {
                **kafka.librdkafka(),
                "client.id": "tickrec-producers",
                "group.id": kafka.topic(group),  # required, and never joined
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                # Of a topic that was recreated, or has lost its beginning.
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
                "log_level": 2,
            }
        )
        self._topic = kafka.topic(INSTRUMENTS.name)

    def load(self, partitions: int, within_s: float) -> None:
        """Read the topic from its beginning to its end; raises as `catch_up`."""
        self._consumer.assign(
            [TopicPartition(self._topic, n, OFFSET_BEGINNING) for n in range(partitions)]
        )
        self._next = dict.fromkeys(range(partitions), 0)
        self.catch_up(within_s)

    def refresh(self) -> None:
        """Take the records that have come since."""
        while self._take(0):
            pass

    def catch_up(self, within_s: float, *, and_open: bool = False) -> None:
        """Take the records that the topic has now.

        Args:
            within_s: how long it may take.
            and_open: whether to wait for those of open transactions, too, and for those behind.

        Raises:
            PublishingError: it is not at the end in time.
            KafkaException: the broker does not answer, or refuses.
        """
        deadline = time.monotonic() + within_s
        ends = self._ends(
            IsolationLevel.READ_UNCOMMITTED if and_open else IsolationLevel.READ_COMMITTED
        )
        while any(self._next[n] < end for n, end in ends.items()):
            self._take(_COMES_WITHIN_S)
            if time.monotonic() > deadline:
                raise PublishingError(
                    f"the catalog in {self._topic} was not read to its end within {within_s:g} s: "
                    "is a broker away, or a transaction open?"
                )

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    def _ends(self, level: IsolationLevel) -> dict[int, int]:
        newest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = {TopicPartition(self._topic, n): newest for n in self._next}
        found = self._client.list_offsets(asked, isolation_level=level, request_timeout=_CALL_S)
        return {its.partition: answer.result().offset for its, answer in found.items()}

    def _take(self, timeout_s: float) -> int:
        """Take records, and return how many."""
        taken, failure = 0, None
        for message in self._consumer.consume(_RECORDS_AT_ONCE, timeout_s):
            error, at = message.error(), cast("int", message.offset())
            if error is None:
                self._put(message.key(), message.value())
                taken, at = taken + 1, at + 1
            elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 (its public name)
                failure = error
                continue
            self._next[cast("int", message.partition())] = at
        if failure is not None:  # after the records, which do not come again
            raise KafkaException(failure)
        return taken

    def _put(self, key: bytes | None, value: bytes | None) -> None:
        with contextlib.suppress(ValueError):  # the workers put it into the dead letters
            self._symbols.put(*decode_instrument_record(key, value))
