"""Bars as stored in Redis: a hash per instrument, and which have an open minute. Pure."""

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Final

import msgspec
import numpy as np

from contracts.bars import FIELDS, BarValue, structs_of
from contracts.keyspace import NEWEST_FIELD, Keyspace
from contracts.log_position import positions_of
from contracts.messages import Ints
from contracts.times import MINUTE_S
from stream_processors.bars.fold import BAR, Bars
from stream_processors.bars.table import Changed, Missing
from stream_processors.store.chunks import ON_INDEX, Commands, Group, command

decode_bar: Final = msgspec.json.Decoder(BarValue).decode
_encode: Final = msgspec.json.Encoder().encode


class StoredBars:
    """Encodes one partition's bars for Redis."""

    def __init__(self, keyspace: Keyspace, partition: int, expire_s: int) -> None:
        """Take the location of the bars, and how long they live by the clock."""
        self._prefix = keyspace.bars_prefix(partition)
        self._open = keyspace.open_bars(partition)
        self._expire_s = str(expire_s)

    def ask_for_bars(self, missing: Missing) -> Group:
        """Return a query for an instrument's newest minute, and for some of its bars."""
        fields = [NEWEST_FIELD, *map(field_of, missing.minutes)]
        return Group(f"{self._prefix}{missing.instrument_id}", command("HMGET", fields))

    def ask_for_open(self, closed_minute: int, first: int, n: int) -> Group:
        """Return a query for n instruments, from the first on, with a later minute."""
        bounds = [f"({field_of(closed_minute)}", "+inf", "WITHSCORES", "LIMIT", str(first), str(n)]
        return Group(self._open, command("ZRANGEBYSCORE", bounds))

    def groups(self, changed: Changed, closed_minute: int) -> Iterator[Group]:
        """Yield the writes of each instrument.

        Its newest minute is written together with its bars: a bar in Redis beyond that minute would
        be neither read nor expired. So is its entry in the set of instruments with an open minute,
        for the worker that will close it.

        Without a changed bar, nothing is written: a flush that does not move the position and only
        records what is closed must be one call, as it could not distinguish its own chunks from
        lost ones.
        """
        if not changed.instrument_id:
            return
        yield Group(self._open, command("ZREMRANGEBYSCORE", ["-inf", field_of(closed_minute)]))
        fields = {
            minute: field_of(minute) for minute in {*changed.minute, *changed.newest.values()}
        }
        columns = (changed.instrument_id, changed.minute, to_values(changed.bars))
        last_id: int | None = None
        commands: Commands = []
        published: list[tuple[int, int, str]] = []
        prefix, newest, expired = self._prefix, changed.newest, changed.expired
        for place, (instrument_id, minute, value) in enumerate(zip(*columns, strict=True)):
            if instrument_id != last_id:
                if commands:
                    yield Group(f"{prefix}{last_id}", commands, published)
                last_id, commands, published = instrument_id, [], []
            if place in newest:
                if place in expired:
                    commands += command("HDEL", [field_of(m) for m in expired[place]])
                score = fields[newest[place]]
                commands += ("HSET", 1, 2, NEWEST_FIELD, score)
                commands += ("EXPIRE", 1, 1, self._expire_s)
                if newest[place] > closed_minute:
                    commands += ("ZADD", ON_INDEX, 3, "GT", score, str(instrument_id))
            commands += ("HSET", 1, 2, fields[minute], value)
            published.append((instrument_id, minute * MINUTE_S, value))
        yield Group(f"{prefix}{last_id}", commands, published)


def field_of(minute: int) -> str:
    """Return a minute as Redis names it: its start in epoch s."""
    return str(minute * MINUTE_S)


def minute_in(field: str) -> int:
    """Invert `field_of`."""
    return int(field) // MINUTE_S


def minutes_of(scores: Sequence[str]) -> Ints:
    """Return the minutes in the scores of a sorted set, (n,)."""
    return np.array(scores).astype(np.float64).astype(np.int64) // MINUTE_S


def to_values(bars: Bars) -> list[str]:
    """Return the value of each bar."""
    # A column at a time: numbers in a list cost half of those in a tuple of each row.
    columns = {letter: bars[field.name] for letter, field in FIELDS.items()}
    columns_of_values = {**columns, "off": positions_of(bars["mark"])}
    return [_encode(value).decode() for value in structs_of(BarValue, columns_of_values)]


def from_values(keys: Sequence[int], values: Sequence[BarValue]) -> Bars:
    """Return the rows of stored bars."""
    bars = np.empty(len(values), BAR)
    bars["key"] = keys
    for letter, field in FIELDS.items():
        bars[field.name] = list(map(attrgetter(letter), values))
    bars["mark"] = [value.off.mark for value in values]
    return bars
