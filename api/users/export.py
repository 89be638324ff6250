"""Everything that Redis has about a user, as one answer. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from api.users.answers import Export, KnownItem, OwnItem, OwnList
from api.users.history import Histories, latest_items
from contracts.generations import Current, UserList
from contracts.log_position import LogPosition, parse_log_position
from contracts.pointer import served_to

_list: Final = msgspec.json.Decoder(UserList)


def own_lists(values: Mapping[str, bytes | None], offset: bytes | None) -> list[OwnList]:
    """Return the user's own lists.

    Args:
        values: generation -> its list of the user, None if it has none.
        offset: of the history, as stored there; None if there is none.
    """
    live = None if offset is None else parse_log_position(offset)
    return [
        _own_list(generation, _list.decode(value), live)
        for generation, value in values.items()
        if value is not None
    ]


def export_answer(
    user_id: str,
    history: Histories,
    last_event_ts: int | None,
    current: Current | None,
    lists: Sequence[OwnList],
) -> Export:
    """Return the export of a user; `current` is what is served, None if nothing is."""
    found = None if current is None else served_to(user_id, current)
    variant, served = found or (None, None)
    return Export(
        user_id,
        last_event_ts,
        variant,
        None if served is None else served.generation,
        [_known(item, history) for item in latest_items(history, len(history))],
        list(lists),
    )


def _known(item: int, history: Histories) -> KnownItem:
    entry = history[item]
    scale, value = float(entry.s), float(entry.v)
    return KnownItem(item, entry.r, entry.first_ms, entry.t, scale, value, entry.n)


def _own_list(generation: str, found: UserList, live: LogPosition | None) -> OwnList:
    items = [
        OwnItem(int(one.item), one.score, [int(item) for item in one.because])
        for one in found.items
    ]
    return OwnList(generation, found.model, found.off == live, items)
