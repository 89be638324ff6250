"""JSON quotes in Kafka, to minute bars in Redis.

Hypothesis: a worker that takes a fetched batch at a time is 25 times as fast as one that takes a
record at a time, though it keeps offsets in its values and fences its writes, which the other does
not.

Work: each of 50,000 instruments quotes once a second of event time, within one minute; all quotes
are in Kafka before a contender starts, lz4, 8 partitions. It ends when the last bar is in Redis and
the position says so. Both write once a second, so their bars are equally fresh. Afterwards the bars
in Redis are added up: they must hold each quote once.

Baseline: `benchmarks.peers.plain_faust`, one process as well, from its first record on. It folds
the first part of the same log and is compared by its rate: all of it would take minutes. With
`--vs flink` it is Flink (`peers/flink`), which keeps several cores busy: so the report has the
ratio of the rates and that of the quotes per second of CPU, all threads and children counted.
"""

import time
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Final

import msgspec
import numpy as np
import typer

from benchmarks.harness import session
from benchmarks.harness.contender import ContenderError
from benchmarks.harness.namespace import Namespace, claimed_ms, folded
from benchmarks.harness.publish import publish, record
from benchmarks.harness.rounds import Run
from benchmarks.harness.stage import WORKER, Progress, Stage, python
from benchmarks.peers.engines import Engine, program
from contracts.keyspace import NEWEST_FIELD
from contracts.messages import Quote
from contracts.times import MINUTE_S
from contracts.topics import INTERACTIONS, QUOTES

TICKREC: Final = "tickrec"
_SEED: Final = 1


def bars(
    rounds: session.Rounds = 5,
    quotes: session.Quotes = 4_000_000,
    instruments: session.Instruments = 50_000,
    vs: Annotated[Engine, typer.Option(help="the baseline")] = Engine.PLAIN_FAUST,
    *,
    json: session.Json = False,
) -> None:
    """JSON quotes in Kafka to minute bars in Redis, against another engine."""
    with session.on_stage() as stage:
        with session.progress.status(f"the program of {vs}, whose jars are fetched on first use"):
            peer = program(vs, stage.folder)
        n = max(quotes, peer.quotes)
        stage.namespace()
        publish(stage.broker.address, QUOTES.name, map(record, make_quotes(n, instruments)))
        # It goes on until it is stopped.
        check = partial(check_bars, and_more=True)
        contenders = {
            TICKREC: partial(run_ours, stage, n),
            str(peer): partial(stage.run_peer, peer.name, peer.argv, peer.quotes, check),
        }
        part = f"; {peer} folds the first {peer.quotes:,} and more" if peer.quotes < n else ""
        work = f"{describe(n, instruments)}, one worker{part}"
        session.contest(stage, "bars", work, "quotes/s", contenders, rounds, json=json)


def describe(n: int, instruments: int) -> str:
    """Return what is to be done."""
    return f"{n:,} JSON quotes of {instruments:,} instruments in Kafka to minute bars in Redis"


def run_ours(stage: Stage, n: int) -> Run:
    """Let one worker fold n quotes, and check its bars.

    Raises:
        ContenderError: it did not do it.
    """
    return stage.run(
        WORKER,
        python(WORKER),
        lambda namespace: Progress(
            lambda: claimed_ms(namespace.positions(INTERACTIONS)),
            lambda: folded(namespace.positions(QUOTES), n),
            partial(check_bars, namespace),
        ),
    )


def make_quotes(n: int, instruments: int, start_ms: int | None = None) -> Iterator[Quote]:
    """Return n quotes: the instruments in a new order each second, prices that walk at random.

    All are of one minute: the last full one but one, if no other is given.
    """
    start_ms = start_ms or (int(time.time()) // MINUTE_S - 2) * MINUTE_S * 1000
    rng = np.random.default_rng(_SEED)
    price = rng.uniform(5, 500, instruments)
    for second in range(-(-n // instruments)):
        price *= np.exp(1e-4 * rng.standard_normal(instruments))
        order = rng.permutation(instruments)[: n - second * instruments]
        ms = second % MINUTE_S * 1000 + np.sort(rng.integers(0, 1000, len(order)))
        size = rng.integers(1, 1000, len(order))
        columns = (order, np.round(price[order], 2), size, start_ms + ms)
        for item, its_price, its_size, ts in zip(*(c.tolist() for c in columns), strict=True):
            yield Quote(instrument_id=item, price=its_price, size=its_size, ts=ts)


class _Counted(msgspec.Struct):
    n: int


_counted: Final = msgspec.json.Decoder(_Counted)


def check_bars(namespace: Namespace, n: int, *, and_more: bool = False) -> None:
    """Add up the quotes of all bars.

    Raises:
        ContenderError: they are not n.
    """
    quotes = sum(
        _counted.decode(bar).n
        for of_instrument in namespace.hashes("bars")
        for minute, bar in of_instrument.items()
        if minute != NEWEST_FIELD
    )
    if quotes < n or (quotes > n and not and_more):
        raise ContenderError(f"{n} quotes were folded, but the bars in Redis hold {quotes}")
