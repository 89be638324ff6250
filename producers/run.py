"""One run of a producer: from an opened source to the summary and the exit code."""

import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from threading import Event
from types import FrameType
from typing import Final, NoReturn

import structlog
import typer
from pydantic import ValidationError

from contracts.topics import QUOTES
from producers.batch import Batch, Minutes
from producers.feed import feed
from producers.files import FileError
from producers.progress import Show, Summary, progress, report
from producers.publisher import Publisher, PublishingError
from producers.settings import ProducerSettings
from runtime.kafka.config import KafkaConfig
from runtime.kafka.tokens import TokenError
from runtime.logs import configure_logs
from runtime.settings import SettingsError, read_settings

USAGE_ERROR: Final = 2
"""The conventional exit status for wrong usage."""
SHOWN_REJECTIONS: Final = 10
STOPPED_FLUSH_TIMEOUT_S: Final = 5.0
"""Time to finish after a stop request: supervisors kill after about ten seconds."""
FLUSH_MARGIN_S: Final = 5.0
"""On top of the delivery timeout, after which the client has failed every record."""

_GIVEN: Final = re.compile(r", got .*| \S+(?= is (?:above|before|\d))", re.DOTALL)
"""What a reason says of the row's own value."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Rejected:
    """The skipped rows."""

    count: int = 0
    shown: list[str] = field(default_factory=list)
    """the reasons of the first few"""
    reasons: Counter[str] = field(default_factory=Counter)
    """by rule: the first few, and others"""

    def add(self, place: str, reason: str) -> None:
        """Count a row, and log the first few."""
        self.count += 1
        rule = _GIVEN.sub("", reason)
        is_kept = rule in self.reasons or len(self.reasons) < SHOWN_REJECTIONS
        self.reasons[rule if is_kept else "other reasons"] += 1
        if self.count <= SHOWN_REJECTIONS:
            reason = f"{place}: {reason}"
            self.shown.append(reason)
            log.error("row skipped", reason=reason)


@dataclass(frozen=True, slots=True)
class Source:
    """The content and the pace of a feed."""

    topics: tuple[str, ...]
    batches: Iterable[Batch]
    speed: float
    event_start_ms: int | None
    """the event time due at the start; None: the first record's"""
    share_done: Callable[[], float | None]
    """from 0 to 1; None for an endless source"""
    rejected: Rejected = field(default_factory=Rejected)
    minutes: Minutes = field(default_factory=Minutes)
    """of the quotes that are replayed"""


def exit_after(
    title: str,
    opening: Callable[[], AbstractContextManager[Source]],
    prefix: str | None = None,
) -> NoReturn:
    """Run, into topics of a prefix (None: `KAFKA_PREFIX`), and exit with its status."""
    try:
        settings = read_settings(ProducerSettings)
        into = settings if prefix is None else _into(settings, prefix)
        source = opening()
    except SettingsError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(USAGE_ERROR) from None
    raise typer.Exit(run(title, into, source))


def _into(settings: ProducerSettings, prefix: str) -> ProducerSettings:
    """Return settings with another topic prefix.

    Raises:
        SettingsError: the prefix is invalid.
    """
    try:
        kafka = KafkaConfig.model_validate({**dict(settings.kafka), "prefix": prefix})
    except ValidationError as error:
        raise SettingsError(f"--prefix {prefix!r}: {error.errors()[0]['msg']}") from None
    return settings.model_copy(update={"kafka": kafka})


def run(title: str, settings: ProducerSettings, opening: AbstractContextManager[Source]) -> int:
    """Publish a source, report the result, and return the exit code: 0 if all was delivered.

    SIGTERM and Ctrl-C end the run early, without an error: what was published by then is delivered.
    A second signal kills.
    """
    started_s = time.monotonic()
    stop = stop_on_signals()
    rejected, older, broken = Rejected(), 0, False
    with progress(title) as show:
        # Within the progress, which keeps log lines and the bar apart on a terminal.
        configure_logs("producers", settings)
        log.info(title, broker=settings.kafka.bootstrap_servers)
        try:
            publisher = Publisher(settings.kafka, settings.delivery_timeout_s)
        except TokenError as error:
            log.error("cannot start", reason=str(error))  # noqa: TRY400 (it says what and where)
            return 1
        try:
            with opening as source:
                rejected = source.rejected
                _publish(source, publisher, stop, show, settings.delivery_timeout_s)
                older = source.minutes.older(settings.bars_retention_minutes)
        except (FileError, PublishingError) as error:
            log.error("cannot continue", reason=str(error))  # noqa: TRY400 (it says what and where)
            broken = True
    failed = publisher.accepted - publisher.delivered
    report(
        Summary(
            delivered=publisher.delivered,
            failed=failed,
            rejected=rejected.count,
            older=older,
            seconds=time.monotonic() - started_s,
            reasons=dict(publisher.failures + publisher.troubles + rejected.reasons),
        )
    )
    return 1 if broken or failed or rejected.count else 0


def _publish(
    source: Source, publisher: Publisher, stop: Event, show: Show, delivery_timeout_s: float
) -> None:
    def after_round() -> None:
        show(publisher.delivered, source.share_done())

    is_replay = source.topics == (QUOTES.name,)
    publisher.await_topics(source.topics, stop.is_set)
    try:
        feed(
            source.minutes.counting(source.batches) if is_replay else source.batches,
            publisher,
            speed=source.speed,
            event_start_ms=source.event_start_ms,
            clock=time.monotonic,
            stop=stop,
            after_round=after_round,
        )
    finally:
        hurry = stop.is_set() or publisher.failed
        timeout_s = STOPPED_FLUSH_TIMEOUT_S if hurry else delivery_timeout_s + FLUSH_MARGIN_S
        publisher.flush(timeout_s, after_round)
        after_round()


def stop_on_signals() -> Event:
    """Return an event that SIGTERM and Ctrl-C set; a second signal kills."""
    stop = Event()

    def ask(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    return stop
