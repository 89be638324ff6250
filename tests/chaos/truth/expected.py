"""What Redis must hold, computed from the log record by record, without the workers' code.

Values are named by their key in Redis and the field in it, and are as `json.loads` reads them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from contracts.event_types import BUILT_IN
from contracts.keyspace import ERASED_FIELD, HOLDERS_FIELD, NEWEST_FIELD, OFFSET_FIELD, Keyspace
from contracts.partitioning import instrument_partition, user_partition
from contracts.tombstones import pseudonym
from contracts.topics import INTERACTIONS, QUOTES
from contracts.trending import PAGES
from runtime.topology import Topology
from tests.chaos.log import Log
from tests.chaos.modes import HISTORY_CAP, RETENTION_MINUTES, Mode
from tests.chaos.truth.bars import bars_of
from tests.chaos.truth.histories import Pair, Users
from tests.chaos.truth.messages import Marked, good
from tests.oracles.gram import stored_once
from tests.oracles.histories import Held

Name = tuple[str, str]
"""key and field"""
Values = dict[Name, Any]

DAY_S: Final = 86_400

_OF_THE_LARGEST_TERM: Final = 1e-9


class Expected(NamedTuple):
    """Values with tolerances."""

    values: Values
    tolerances: dict[Name, float]
    """of entries of G that are sums of fractions; an entry that is nowhere is 0"""


def expected_values(
    log: Log,
    keyspace: Keyspace,
    topology: Topology,
    mode: Mode,
    retention_minutes: int = RETENTION_MINUTES,
    cap: int = HISTORY_CAP,
) -> Expected:
    """Return every value of bars, histories, active users, G and days of events."""
    values: Values = dict(_bars(log, keyspace, topology, retention_minutes))
    users = Users(mode, cap)
    for p in range(topology.interactions):
        events = good(log.counted((INTERACTIONS.name, p)), INTERACTIONS)
        for mark, event in events:
            users.fold(mark, event)
        values |= _events_by_day(events, keyspace, p)
    values |= _histories(users, keyspace, topology)
    counts = stored_once(users.gram())
    values |= {_name(pair, keyspace, topology): g for pair, g in counts.items()}
    if not mode.is_exact:
        values |= {
            (keyspace.cooc(instrument_partition(i, topology.cooccurrences), i), HOLDERS_FIELD): n
            for i, n in users.holders().items()
        }
    tolerances = {
        _name(pair, keyspace, topology): largest * _OF_THE_LARGEST_TERM
        for pair, largest in stored_once(users.largest).items()
    }
    return Expected(values, {} if mode.is_exact else tolerances)


def _bars(
    log: Log, keyspace: Keyspace, topology: Topology, retention_minutes: int
) -> Iterator[tuple[Name, Any]]:
    for p in range(topology.quotes):
        for instrument, of_minute in bars_of(good(log.counted((QUOTES.name, p)))).items():
            key, newest_s = keyspace.bars(p, instrument), max(of_minute)
            yield (key, NEWEST_FIELD), newest_s
            for second, bar in of_minute.items():
                if second > newest_s - retention_minutes * 60:
                    yield (key, str(second)), bar


def _histories(users: Users, keyspace: Keyspace, topology: Topology) -> Iterator[tuple[Name, Any]]:
    for user_id, user in users.of_id.items():
        p = user_partition(user_id, topology.interactions)
        key = keyspace.history(p, user_id)
        yield (key, OFFSET_FIELD), list(user.mark)
        if user_id in users.erased_before_ms:
            yield (key, ERASED_FIELD), users.erased_before_ms[user_id]
        yield (keyspace.active(p), user_id), user.last_ts_ms
        for item, entry in user.entries.items():
            yield (key, str(item)), entry_as_stored(entry)
    for user_id, before_ms in users.erased_before_ms.items():
        p = user_partition(user_id, topology.interactions)
        yield (keyspace.erased(p), pseudonym(user_id)), before_ms


def entry_as_stored(entry: Held) -> dict[str, float]:
    """Return what a history has of an item, with what is left out where it is the default."""
    return {
        "r": entry.affinity,
        "t": entry.ts_ms,
        "s": entry.scale,
        "v": entry.spent,
        "n": entry.n_spent,
        "f": entry.first_ms,
    }


def _events_by_day(
    events: Iterable[Marked], keyspace: Keyspace, partition: int
) -> Mapping[Name, int]:
    """Return how many events items had each day: of these all are retained, other than of hours."""
    counts: Counter[Name] = Counter()
    for _, event in events:
        if "instrument_id" in event and BUILT_IN[event.get("event", "trade")] > 0:
            item, day = event["instrument_id"], event["ts"] // (1000 * DAY_S) * DAY_S
            counts[keyspace.trending(partition, DAY_S, day, item % PAGES), str(item)] += 1
    return counts


def _name(pair: Pair, keyspace: Keyspace, topology: Topology) -> Name:
    i, j = pair
    return keyspace.cooc(instrument_partition(i, topology.cooccurrences), i), str(j)
