"""The loop: reads a batch, maps it, and publishes it with its offsets in one transaction.

Before a batch is published, everything is known of it: what its records become, and which of them
are dead letters. So a transaction is open only as long as it takes to write it.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from contracts.instruments import decode_instrument_record
from contracts.topics import INSTRUMENTS, Letter, Place, Topic, dead_letters, letter_of
from producers.adapt import metrics
from producers.adapt.catalog import Catalog, Symbols
from producers.adapt.fields import UnknownSymbolError, UnmappableError
from producers.adapt.formats import Decoders
from producers.adapt.input import Ends, Input
from producers.adapt.messages import Mapper, Outgoing, Unpublished
from producers.adapt.output import Output
from producers.adapt.registry import RegistryError
from producers.publisher import PublishingError
from runtime.kafka.refusals import describe_error

_FENCED: Final = (
    KafkaError._FENCED,  # noqa: SLF001 (its public name)
    KafkaError.PRODUCER_FENCED,
    KafkaError.FENCED_INSTANCE_ID,
)
_WAIT_S: Final = 1.0
"""Before a batch is tried again."""
_FORGOTTEN_AFTER_S: Final = 10.0
"""A failure without another one. A failed batch is fetched and tried again within less."""
_LAG_EVERY_S: Final = 1.0
_CATALOG_WITHIN_S: Final = 60.0

log = structlog.get_logger(__name__)


class Route(NamedTuple):
    """How the records of a topic are mapped."""

    decoders: Decoders
    mapper: Mapper
    into: Topic


class Batch:
    """What records have become."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []
        self.letters: list[tuple[str, Letter]] = []
        self.unpublished: Counter[tuple[Unpublished, str]] = Counter()
        self.rejected: Counter[str] = Counter()
        self.is_caught_up = False
        """whether the catalog was read to its end since the records were taken"""


class _UnreadInstrumentsError(Exception):
    """A symbol is unknown, and may be in records that the group has not mapped yet."""

    def __init__(self, ends: Ends) -> None:
        super().__init__(ends)
        self.ends = ends


class Adapter:
    """Maps the records of all topics of a mapping."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        source: Input,
        output: Output,
        symbols: Symbols,
        catalog: Catalog | None,
    ) -> None:
        """Take the parts; the catalog, which keeps symbols up to date, if a rule uses them."""
        self.published = 0
        self.rejected = 0
        self._routes = routes
        self._input = source
        self._output = output
        self._symbols = symbols
        self._catalog = catalog
        self._noted_s = 0.0
        self._of_instruments = frozenset(
            topic for topic, route in routes.items() if route.into is INSTRUMENTS
        )
        self._awaited: Ends = {}
        """ends of instruments that the group is to commit before other records are taken again"""
        self._has_waited = False
        """so that what is still unknown then is rejected"""

    def run(
        self, stopping: Callable[[], bool], after_round: Callable[[], None], within_s: float
    ) -> None:
        """Map until it is to stop; the same batch may fail for `within_s`.

        Raises:
            PublishingError: it failed for longer, or forever.
        """
        since_s = failed_s = -math.inf
        while not stopping():
            start_s = time.monotonic()
            try:
                if self._round():
                    failed_s = -math.inf
            except (KafkaException, RegistryError) as error:
                is_new = start_s - failed_s > _FORGOTTEN_AFTER_S
                failed_s = time.monotonic()
                since_s = failed_s if is_new else since_s
                if _is_fatal(error) or failed_s - since_s > within_s:
                    raise PublishingError(_why(error)) from error
                log.warning("trying again", reason=_why(error))
                time.sleep(_WAIT_S)
            self._note_lag()
            after_round()

    def _round(self) -> bool:
        """Publish a batch, and return whether there was one."""
        start_s = time.monotonic()
        try:
            self._release()
            messages = self._input.take()
            positions = self._input.positions()
            if self._catalog is not None:
                self._catalog.refresh()
            if not positions:
                return False
            batch = self.mapped(messages, time.time_ns() // 1_000_000)
            self._publish(batch, messages, positions)
        except (KafkaException, RegistryError):
            self._input.needs_rewind()
            raise
        except _UnreadInstrumentsError as unread:
            self._awaited, self._has_waited = unread.ends, True
            self._input.hold(self._routes.keys() - self._of_instruments)
            return False
        if not self._awaited:
            self._has_waited = False
        metrics.SECONDS.observe(time.monotonic() - start_s)
        return True

    def _release(self) -> None:
        """Take all topics again once the awaited instruments are published."""
        if self._awaited and self._input.has_committed(self._awaited):
            self._awaited = {}
            self._input.hold(())

    def mapped(self, messages: Sequence[Message], now_ms: int) -> Batch:
        """Return what a batch becomes.

        Raises:
            RegistryError: the registry is away.
            _UnreadInstrumentsError: it must wait for instruments.
        """
        batch = Batch()
        if self._of_instruments:
            # An instrument is known to the records that come with it.
            messages = sorted(
                messages, key=lambda each: str(each.topic()) not in self._of_instruments
            )
        for message in messages:
            topic = str(message.topic())
            route = self._routes[topic]
            try:
                record = self._mapped(batch, route, message, now_ms)
            except UnmappableError as error:
                batch.letters.append(
                    (dead_letters(route.into).name, _letter(route, message, error))
                )
                batch.rejected[topic] += 1
            else:
                self._add(batch, topic, record)
        return batch

    def _add(self, batch: Batch, topic: str, record: Outgoing | Unpublished) -> None:
        if isinstance(record, Unpublished):
            batch.unpublished[record, topic] += 1
            return
        if record.replaces is not None:
            self._add(batch, topic, Outgoing(record.topic, record.replaces, None))
        batch.records.append(record)
        if record.topic == INSTRUMENTS.name:
            self._symbols.put(*decode_instrument_record(record.key, record.value))

    def _mapped(
        self, batch: Batch, route: Route, message: Message, now_ms: int
    ) -> Outgoing | Unpublished:
        try:
            return _mapped(route, message, now_ms)
        except UnknownSymbolError:
            if self._catalog is None:
                raise
            self._learn(batch, self._catalog)
            return _mapped(route, message, now_ms)

    def _learn(self, batch: Batch, catalog: Catalog) -> None:
        """Take the instruments that were published before the batch was taken.

        Raises:
            _UnreadInstrumentsError: some are not published yet.
        """
        if batch.is_caught_up:
            return
        ends = {} if self._has_waited else self._input.ends(self._of_instruments)
        if not self._input.has_committed(ends):
            raise _UnreadInstrumentsError(ends)
        # The group's offsets are committed a moment before the records of the same transaction can
        # be read, and another copy's open one may stand before them.
        catalog.catch_up(_CATALOG_WITHIN_S, and_open=bool(self._of_instruments))
        batch.is_caught_up = True

    def _note_lag(self) -> None:
        if time.monotonic() < self._noted_s + _LAG_EVERY_S:
            return
        self._noted_s = time.monotonic()
        lags = list(self._input.lag())  # before, so that no scrape finds none
        metrics.LAG.clear()  # other copies have some of its partitions now
        for topic, partition, lag in lags:
            metrics.LAG.labels(topic, str(partition)).set(lag)

    def _publish(
        self, batch: Batch, messages: Sequence[Message], positions: Sequence[TopicPartition]
    ) -> None:
        try:
            self._output.commit(batch.records, batch.letters, positions, self._input.group())
        except KafkaException:
            metrics.TRANSACTIONS.labels("aborted").inc()
            raise
        self._input.committed(positions)
        metrics.TRANSACTIONS.labels("committed").inc()
        self.published += len(batch.records)
        self.rejected += len(batch.letters)
        _count(batch, messages)


def _mapped(route: Route, message: Message, now_ms: int) -> Outgoing | Unpublished:
    """Return what becomes of a record, or why nothing does.

    Raises:
        UnmappableError: whatever the record leads to, in our code or in a library.
        RegistryError: the registry is away.
    """
    try:
        value = route.decoders.value(message.value())
        key = route.decoders.key(message.key())
        return route.mapper(value, key, message.timestamp()[1], now_ms)
    except (UnmappableError, RegistryError):
        raise
    except Exception as error:
        raise UnmappableError(f"{type(error).__name__}: {error}") from error


def _count(batch: Batch, messages: Sequence[Message]) -> None:
    for metric, counts in (
        (metrics.READ, Counter(str(message.topic()) for message in messages)),
        (metrics.PUBLISHED, Counter(record.topic for record in batch.records)),
        (metrics.REJECTED, batch.rejected),
        *((metrics.UNPUBLISHED[why], {topic: n}) for (why, topic), n in batch.unpublished.items()),
    ):
        for topic, count in counts.items():
            metric.labels(topic).inc(count)


def _letter(route: Route, message: Message, error: UnmappableError) -> Letter:
    place = Place(str(message.topic()), message.partition() or 0, message.offset() or 0)
    return letter_of(route.into, place, message.key(), message.value(), str(error))


def _is_fatal(error: KafkaException | RegistryError) -> bool:
    if isinstance(error, RegistryError):
        return False
    said: KafkaError = error.args[0]
    return said.fatal() or said.code() == KafkaError._FATAL  # noqa: SLF001 (its public name)


def _why(error: KafkaException | RegistryError) -> str:
    if isinstance(error, RegistryError):
        return f"{error}: check SCHEMA_REGISTRY_URL, and the login"
    said: KafkaError = error.args[0]
    # The code of a consumer's error is only that it is fatal.
    if said.code() in _FENCED or "fenced" in said.str():
        return (
            "another copy runs under the same name: give each an ADAPT_INSTANCE of its own; or the "
            "broker did not answer within a transaction's time: start again"
        )
    return describe_error(said)
