"""What Redis must hold, computed from the log record by record, with nothing of the workers' code.

Values are named by their key in Redis and the field in it, and are as `json.loads` reads them.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from contracts.keyspace import NEWEST_FIELD, OFFSET_FIELD, Keyspace
from contracts.partitioning import instrument_partition
from contracts.topics import INTERACTIONS, QUOTES
from runtime.topology import Topology
from tests.chaos.log import Record

Values = dict[tuple[str, str], Any]
Records = Mapping[tuple[str, int], Sequence[Record]]


def good(records: Sequence[Record]) -> list[tuple[int, dict[str, Any]]]:
    """Return offset and message of the records that break no rule.

    The feed's bad ones are no JSON objects, or lack most fields.
    """
    messages = []
    for record in records:
        try:
            message = json.loads(record.value)
        except ValueError:
            continue
        if "ts" in message:
            messages.append((record.offset, message))
    return messages


def expected_values(
    records: Records, keyspace: Keyspace, topology: Topology, retention_minutes: int, cap: int
) -> Values:
    """Return every value of bars, histories, active users and the Gram matrix."""
    values: Values = {}
    for p in range(topology.quotes):
        bars = bars_of(good(records[QUOTES.name, p]))
        for instrument, of_minute in bars.items():
            key, newest_s = keyspace.bars(p, instrument), max(of_minute)
            values[key, NEWEST_FIELD] = newest_s
            for second, bar in of_minute.items():
                if second > newest_s - retention_minutes * 60:
                    values[key, str(second)] = bar
    histories: dict[str, dict[int, int]] = {}
    for p in range(topology.interactions):
        for user, (items, last_offset, last_ts_ms) in histories_of(
            good(records[INTERACTIONS.name, p]), cap
        ).items():
            histories[user] = items
            key = keyspace.history(p, user)
            values[key, OFFSET_FIELD] = [0, last_offset]
            values[keyspace.active(p), user] = last_ts_ms
            for item, ts_ms in items.items():
                values[key, str(item)] = {"r": 1, "t": ts_ms}
    for (i, j), count in gram_of(histories).items():
        p = instrument_partition(i, topology.cooccurrences)
        values[keyspace.cooc(p, i), str(j)] = count
    return values


def bars_of(quotes: Sequence[tuple[int, dict[str, Any]]]) -> dict[int, dict[int, Any]]:
    """Return the bars by instrument and start of the minute in epoch seconds."""
    of_bar = defaultdict(list)
    for offset, quote in quotes:
        start_s = quote["ts"] // 60_000 * 60
        of_bar[quote["instrument_id"], start_s].append(
            (quote["ts"], offset, quote["price"], quote.get("size", 0))
        )
    bars: dict[int, dict[int, Any]] = defaultdict(dict)
    for (instrument, start_s), folded in of_bar.items():
        folded.sort()
        (open_ts_ms, _, first, _), (close_ts_ms, _, last, _) = folded[0], folded[-1]
        prices = [price for _, _, price, _ in folded]
        bars[instrument][start_s] = {
            "o": first,
            "h": max(prices),
            "l": min(prices),
            "c": last,
            "v": sum(size for _, _, _, size in folded),
            "n": len(folded),
            "pv": sum(price * size for _, _, price, size in folded),
            "ot": open_ts_ms,
            "ct": close_ts_ms,
            "off": [0, max(offset for _, offset, _, _ in folded)],
        }
    return bars


def histories_of(
    events: Sequence[tuple[int, dict[str, Any]]], cap: int
) -> dict[str, tuple[dict[int, int], int, int]]:
    """Return, by user, last event time by item, the last offset and the last event time.

    An item beyond the cap pushes out the one that was touched longest ago, ties to the smaller id.
    """
    items: dict[str, dict[int, int]] = defaultdict(dict)
    last: dict[str, tuple[int, int]] = {}
    for offset, event in events:
        user, item, ts_ms = event["user_id"], event["instrument_id"], event["ts"]
        mine = items[user]
        mine[item] = max(ts_ms, mine.get(item, 0))
        if len(mine) > cap:
            del mine[min(mine, key=lambda i: (mine[i], i))]
        last[user] = offset, max(ts_ms, last.get(user, (0, 0))[1])
    return {user: (mine, *last[user]) for user, mine in items.items()}


def gram_of(histories: Mapping[str, Mapping[int, int]]) -> dict[tuple[int, int], int]:
    """Return how many users have both, for each pair of items that somebody has."""
    counts: dict[tuple[int, int], int] = defaultdict(int)
    for items in histories.values():
        for i in items:
            for j in items:
                counts[i, j] += 1
    return counts


def expected_dead_letters(records: Records, topology: Topology) -> set[tuple[str, int, int]]:
    """Return topic, partition and offset of each record that breaks a rule."""
    bad = set()
    for topic, partitions in ((QUOTES, topology.quotes), (INTERACTIONS, topology.interactions)):
        for p in range(partitions):
            offsets = {offset for offset, _ in good(records[topic.name, p])}
            bad |= {
                (topic.name, p, r.offset) for r in records[topic.name, p] if r.offset not in offsets
            }
    return bad
