"""Which events tombstones erase. Pure.

Clients' times may be ahead by `MAX_AHEAD_MS`. Where only the time says whether something is from
before an erasure, what is up to that much later is erased as well.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from contracts.messages import MAX_AHEAD_MS
from contracts.tombstones import Tombstone

AHEAD_US: Final = MAX_AHEAD_MS * 1_000


class RecordPlace(NamedTuple):
    """Of a record: the columns `contracts.archive.PLACE`."""

    log: int
    partition: int
    offset: int


class Event(NamedTuple):
    """What a user did."""

    user_id: str
    place: RecordPlace
    ts_us: int


class TombstoneRow(NamedTuple):
    """That a user was taken out."""

    user_id: str
    place: RecordPlace
    ts_us: int
    """when the broker took it"""
    last_event_before_us: int | None = None
    """if it is set: only a user whose last event is older"""
    erased_at_us: int | None = None
    """when the erasure was requested, if the record says so"""

    def leaves_out_before_us(self, last_event_us: int) -> int:
        """Return before which time events that come after it go, as `contracts.tombstones` has it.

        Args:
            last_event_us: of the user before it, -1 if there is none.
        """
        # The rule is the same in any unit, and knows no time but those that it is given.
        rule = Tombstone(self.user_id, self.last_event_before_us, self.erased_at_us)
        return rule.leaves_out_before_ms(last_event_us)


class TakenOut(NamedTuple):
    """What tombstones take out."""

    places: frozenset[RecordPlace]
    """of events"""
    until_us: Mapping[str, int]
    """user -> feedback from before that is taken out"""


def taken_out(events: Iterable[Event], tombstones: Iterable[TombstoneRow]) -> TakenOut:
    """Return what tombstones erase from the events, as the fold does from a history.

    An event after an erasure that is older than it, or no later than what came before it, was
    resent or late: it is erased, too, the latter only while what came before is still there to
    compare with. A user who was only inactive for long may return with any event.
    """
    of_user: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        of_user[event.user_id].append(event)
    places: set[RecordPlace] = set()
    until_us: dict[str, int] = {}
    for tombstone in sorted(tombstones, key=lambda t: (t.place.log, t.ts_us, t.place.offset)):
        left = of_user[tombstone.user_id]
        before = [event for event in left if is_before(event, tombstone)]
        bound_us = tombstone.last_event_before_us
        if bound_us is not None and any(event.ts_us >= bound_us for event in before):
            continue
        last_us = max((event.ts_us for event in before), default=-1)
        from_us = tombstone.leaves_out_before_us(last_us)
        stays = [e for e in left if not is_before(e, tombstone) and e.ts_us >= from_us]
        places.update({event.place for event in left} - {event.place for event in stays})
        of_user[tombstone.user_id] = stays
        end_us = tombstone.ts_us + AHEAD_US
        until_us[tombstone.user_id] = max(until_us.get(tombstone.user_id, end_us), end_us)
    return TakenOut(frozenset(places), until_us)


def is_before(event: Event, tombstone: TombstoneRow) -> bool:
    """Whether an event is from before its user was erased.

    The log decides. If a topic was recreated with another number of partitions, the user may be in
    another one: then the time decides.
    """
    a, b = event.place, tombstone.place
    if a.partition == b.partition:
        return (a.log, a.offset) < (b.log, b.offset)
    return event.ts_us < tombstone.ts_us + AHEAD_US
