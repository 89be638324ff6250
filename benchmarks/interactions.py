"""User events in Kafka, to histories and to the counts of every pair, in Redis.

Hypothesis: folding a batch of events in memory and adding up what it changes, entry by entry of the
Gram matrix, is 20 times as fast as the same logic an event at a time, though the changes pass
through Kafka in between, which is what makes them exact after a crash.

Work: users by a Zipf law of activity, instruments by one of popularity, a hundred events a user as
in MovieLens 100k (106), all in Kafka before a contender starts. An event of a user who has h other
items changes h + 1 counts. It ends when histories, counts and positions are in Redis. Afterwards
the counts are added up: they must come to the sum over users of h(h + 1)/2.

Baseline: `benchmarks.peers.plain_interactions`, one process as well, on all of the same events:
later ones cost more than the first, since histories grow.
"""

import time
from collections.abc import Iterable, Iterator
from functools import cache, partial
from typing import Annotated, Final

import numpy as np
import typer

from benchmarks.bars import TICKREC
from benchmarks.harness import session
from benchmarks.harness.contender import ContenderError
from benchmarks.harness.namespace import Namespace, Written, claimed_ms, folded
from benchmarks.harness.publish import publish, record
from benchmarks.harness.rounds import Run
from benchmarks.harness.stage import WORKER, Progress, Stage, python
from benchmarks.harness.zipf import draw
from contracts.keyspace import NOT_ITEMS
from contracts.messages import Interaction
from contracts.times import DAY_MS
from contracts.topics import COOCCURRENCES, INTERACTIONS, QUOTES
from runtime.kafka.broker import log_ends
from runtime.kafka.config import plain
from runtime.settings import FoldingSettings

_PEER: Final = "benchmarks.peers.plain_interactions"
_SETTINGS: Final = {"COUNTS_FLUSH_INTERVAL_S": "1"}
"""Ten times as often as by default, or a run would mostly wait for its last write."""
_ACTIVITY: Final = 0.4
_POPULARITY: Final = 0.8
_SEED: Final = 1
_CAP: Final[int] = FoldingSettings.model_fields["history_cap"].default


def interactions(
    rounds: session.Rounds = 5,
    events: Annotated[int, typer.Option(min=1_000, help="that each folds in a round")] = 60_000,
    users: Annotated[int, typer.Option(min=1)] = 600,
    instruments: Annotated[int, typer.Option(min=1)] = 2_000,
    *,
    json: session.Json = False,
) -> None:
    """User events in Kafka to histories and counts in Redis, against an event at a time."""
    made = list(make_events(events, users, instruments))
    expected = sum_of_counts(made)
    with session.on_stage() as stage:
        stage.namespace()
        publish(stage.broker.address, INTERACTIONS.name, map(record, made))

        def check(namespace: Namespace, _: int) -> None:
            check_counts(namespace, expected)

        contenders = {
            TICKREC: partial(run_ours, stage, events, expected),
            "plain-interactions": partial(stage.run_peer, _PEER, python(_PEER), events, check),
        }
        work = (
            f"{events:,} JSON events of {users:,} users and {instruments:,} instruments in Kafka "
            "to histories and counts of pairs in Redis, one worker"
        )
        session.contest(stage, "interactions", work, "events/s", contenders, rounds, json=json)


def run_ours(stage: Stage, n: int, expected: int) -> Run:
    """Let one worker fold n events and the changes that they make, and check the counts.

    Raises:
        ContenderError: it did not do it.
    """
    stage.empty(COOCCURRENCES)

    def its(namespace: Namespace) -> Progress:
        @cache  # all changes are in the log when all events are folded
        def changes() -> int:
            partitions = namespace.topology.cooccurrences
            return sum(
                log_ends(plain(stage.broker.address), COOCCURRENCES.name, partitions).values()
            )

        def finished() -> Written | None:
            if (done := folded(namespace.positions(INTERACTIONS), n)) is None:
                return None
            counted = folded(namespace.positions(COOCCURRENCES), changes())
            return counted and Written(n, max(done.at_ms, counted.at_ms))

        return Progress(
            lambda: claimed_ms(namespace.positions(QUOTES)),
            finished,
            lambda _: check_counts(namespace, expected),
        )

    return stage.run(WORKER, python(WORKER), its, _SETTINGS)


def make_events(n: int, users: int, instruments: int) -> Iterator[Interaction]:
    """Return n events of yesterday, a millisecond apart, users and instruments by Zipf laws."""
    rng = np.random.default_rng(_SEED)
    user = draw(n, users, rng, _ACTIVITY).tolist()
    instrument = draw(n, instruments, rng, _POPULARITY).tolist()
    since_ms = time.time_ns() // 1_000_000 - DAY_MS
    for ts, one, its in zip(range(since_ms, since_ms + n), user, instrument, strict=True):
        yield Interaction(user_id=f"user-{one}", instrument_id=its, ts=ts)


def sum_of_counts(events: Iterable[Interaction]) -> int:
    """Return the sum of all counts, one for each pair of items that a user has.

    An item and itself are such a pair.

    >>> sum_of_counts([Interaction(user_id="a", instrument_id=i, ts=0) for i in (1, 2, 2)])
    3

    Raises:
        BadParameter: a user has more items than a history keeps, so the sum cannot be said.
    """
    items: dict[str, set[int]] = {}
    for event in events:
        items.setdefault(event.user_id, set()).add(event.instrument_id)
    most = max(map(len, items.values()), default=0)
    if most > _CAP:
        raise typer.BadParameter(
            f"a user has {most} items, and a history keeps {_CAP}: take fewer events, more users, "
            "or fewer instruments"
        )
    return sum(len(its) * (len(its) + 1) // 2 for its in items.values())


def check_counts(namespace: Namespace, expected: int) -> None:
    """Add up all counts.

    Raises:
        ContenderError: they come to another sum.
    """
    rows = namespace.hashes("cooc")
    found = sum(float(count) for row in rows for j, count in row.items() if j not in NOT_ITEMS)
    if found != expected:
        raise ContenderError(f"the counts in Redis add up to {found:g}, not to {expected}")
