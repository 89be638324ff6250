"""Quotes of which one in a hundred is bad, against the same quotes without bad ones.

Hypothesis: bad records cost little more than good ones, though each is published again to the dead
letters, and acknowledged there, before the position moves past it.

Work: as `benchmarks.bars`, but three times the quotes, so that the second until the last flush
weighs less. In the poisoned log every hundredth record breaks a rule: text, a price below 0, a
number in quotes, half a record, a far future, in turn. Each run has its own log, made before it. It
ends when the position is the log's end. Afterwards the bars in Redis must hold each good quote
once, and the dead letters each bad one. One run before the first round is not counted.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import cycle
from typing import Final

from benchmarks.bars import TICKREC, check_bars, describe, make_quotes, run_ours
from benchmarks.harness import session
from benchmarks.harness.contender import ContenderError
from benchmarks.harness.namespace import Namespace
from benchmarks.harness.publish import Record, publish, record
from benchmarks.harness.report import compared
from benchmarks.harness.rounds import Run, interleaved
from benchmarks.harness.stage import Stage
from contracts.messages import Quote, encode, key_of
from contracts.topics import QUOTES, dead_letters
from operations.dead_letters import read
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain

EVERY: Final = 100
BAD_VALUES: Final = (
    b"not JSON",
    b'{"instrument_id":4,"price":-1,"ts":1629061628123}',
    b'{"instrument_id":"4","price":1,"ts":1629061628123}',
    b'{"instrument_id":4,"price":1,"ts":162906',
    b'{"instrument_id":4,"price":1,"ts":253402300799999}',
)


def poison(
    rounds: session.Rounds = 5,
    quotes: session.Quotes = 3_000_000,
    instruments: session.Instruments = 50_000,
    *,
    json: session.Json = False,
) -> None:
    """Quotes of which 1 % are bad, against the same quotes without bad ones."""
    with session.on_stage() as stage:

        def clean() -> Run:
            _refill(stage, map(record, make_quotes(quotes, instruments)))
            return run_ours(stage, quotes)

        def bad() -> Run:
            _refill(stage, poisoned(make_quotes(quotes, instruments)))
            return run_ours(stage, quotes, partial(_check, stage))

        bad()  # not counted: lets the broker's JIT compile what both will run
        runs = interleaved({TICKREC: bad, f"{TICKREC}, clean": clean}, rounds, session.say)
        rule = f"every {EVERY}th is bad and becomes a dead letter"
        work = f"{describe(quotes, instruments)}, one worker; {rule}"
        session.present(compared("poison", work, "records/s", runs, stage.servers), json=json)


def poisoned(quotes: Iterable[Quote]) -> Iterator[Record]:
    """Return each quote's key and value; each `EVERY`th value is a bad one."""
    bad = cycle(BAD_VALUES)
    for place, quote in enumerate(quotes):
        yield key_of(quote), next(bad) if place % EVERY == EVERY - 1 else encode(quote)


def _refill(stage: Stage, records: Iterable[Record]) -> None:
    stage.empty(QUOTES, dead_letters(QUOTES))
    stage.namespace()
    publish(stage.broker.address, QUOTES.name, records)


def _check(stage: Stage, namespace: Namespace, n: int) -> None:
    """Check that each good quote is in one bar, and each bad one among the dead letters."""
    bad = n // EVERY
    check_bars(namespace, n - bad)
    kafka = plain(stage.broker.address)
    found = len(read(brokers.admin(kafka), kafka, QUOTES, None))
    if found != bad:
        raise ContenderError(f"{bad} records were bad, but {found} are dead letters")
