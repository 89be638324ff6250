"""Changes of events to what each partition of `cooccurrences` is told, cut into messages. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from contracts.changes import EVENT_BYTES, ROW_BYTES, Blocks, TakenOut
from contracts.messages import Floats, Ints
from stream_processors.histories.fold import Change, Leaving
from stream_processors.histories.item_partitions import ItemPartitions

MESSAGE_BYTES: Final = 950_000
"""What a message may take with the widest numbers, and stay below Kafka's limit of 1 MB."""

PAIR_BYTES: Final = 4
"""What counts of each entry of G that a user who leaves changes: little stands in the message, and
its reader has much to do. So one changes a quarter of a million, unless a single user does more."""


class Told(NamedTuple):
    """What one message says."""

    own: Blocks
    mirrored: Blocks
    taken_out: Sequence[TakenOut]


def messages(
    changes: Sequence[Change | Leaving],
    partitions: ItemPartitions,
    enough_bytes: int,
    *,
    counts_holders: bool,
) -> list[Iterator[Told]]:
    """Return the messages to each partition, in the order in which they must be published.

    Args:
        changes: by rising offset.
        partitions: where each item's row is.
        enough_bytes: a message that has so many, counted at the widest numbers, gets no further
            offset. All that an offset changes in a partition stands in one message.
        counts_holders: whether they say how many users have an item.
    """
    events = [change for change in changes if isinstance(change, Change)]
    leaving = [change for change in changes if isinstance(change, Leaving)]
    none = [Blocks.none()] * partitions.n
    own, mirrored = (
        _own_and_mirrored(_joined(events, counts_holders=counts_holders), partitions)
        if events
        else (none, none)
    )
    taken_out = _taken_out(leaving, partitions)
    return [
        _cut(Told(own[p], mirrored[p], taken_out[p]), enough_bytes) for p in range(partitions.n)
    ]


def _joined(events: Sequence[Change], *, counts_holders: bool) -> Blocks:
    """Return a block an event, of the entries that stand in the row of the event's item."""
    return Blocks(
        offset=np.array([event.offset for event in events], np.int64),
        item=np.array([event.item for event in events], np.int64),
        rows=np.array([len(event.j) for event in events], np.int64),
        other=np.concatenate([event.j for event in events]),
        delta=np.concatenate([event.delta for event in events]),
        holders=np.array([event.holders for event in events]) if counts_holders else None,
    )


def _own_and_mirrored(
    whole: Blocks, partitions: ItemPartitions
) -> tuple[list[Blocks], list[Blocks]]:
    """Return each partition's share of the blocks, and of their mirrors, the columns."""
    of_row, of_entry = partitions.of(whole.item), partitions.of(whole.other)
    own = _shared_out(whole, np.repeat(of_row, whole.rows), partitions.n)
    is_mirrored = np.ones(len(whole), dtype=bool)
    is_mirrored[np.cumsum(whole.rows) - 1] = False  # the diagonal is its own mirror
    others = Blocks(
        whole.offset,
        whole.item,
        whole.rows - 1,
        whole.other[is_mirrored],
        whole.delta[is_mirrored],
    )
    return own, _shared_out(others, of_entry[is_mirrored], partitions.n)


def _shared_out(whole: Blocks, partition: npt.NDArray[np.int16], n: int) -> list[Blocks]:
    """Return blocks of the entries that belong to each of n partitions, (len(whole),)."""
    # Stable, so that within a partition the events' entries stay together, offsets rising.
    order = np.argsort(partition, kind="stable")
    other, delta = whole.other[order], whole.delta[order]
    m = len(whole.rows)
    event = np.repeat(np.arange(m), whole.rows)
    rows = np.bincount(partition * np.int64(m) + event, minlength=n * m)
    shares: list[Blocks] = []
    start = 0
    for its in rows.reshape(n, m):
        some = np.flatnonzero(its)
        end = start + int(its.sum())
        shares.append(
            Blocks(
                whole.offset[some],
                whole.item[some],
                its[some],
                other[start:end],
                delta[start:end],
                whole.holders_where(some),
            )
        )
        start = end
    return shares


def _taken_out(leaving: Sequence[Leaving], partitions: ItemPartitions) -> list[list[TakenOut]]:
    """Return the users who leave, as far as they had items of each partition."""
    taken_out: list[list[TakenOut]] = [[] for _ in range(partitions.n)]
    for one in leaving:
        partition = partitions.of(one.item)
        for p in np.unique(partition).tolist():
            here = partition == p
            taken_out[p].append(
                TakenOut(one.offset, one.item[here], one.affinity[here], one.item, one.affinity)
            )
    return taken_out


def _cut(told: Told, enough_bytes: int) -> Iterator[Told]:
    """Yield messages, each with the offsets from where the one before it ended."""
    offset, size = _sizes(told)
    if not len(offset):
        return
    filled = np.cumsum(size)
    first = filled_before = 0
    while first < len(offset):
        last = int(np.searchsorted(filled, filled_before + enough_bytes))
        last = min(last, len(offset) - 1)
        yield _between(told, int(offset[first]), int(offset[last]))
        first, filled_before = last + 1, int(filled[last])


def _sizes(told: Told) -> tuple[Ints, Ints]:
    """Return each offset, rising, and how many bytes its changes take at most.

    Of users who leave more, see `PAIR_BYTES`.
    """
    leave = np.array([one.offset for one in told.taken_out], np.int64)
    leave_rows = np.array([len(one.i) + len(one.j) for one in told.taken_out], np.int64)
    offsets = np.concatenate([told.own.offset, told.mirrored.offset, leave])
    rows = np.concatenate([told.own.rows, told.mirrored.rows, leave_rows])
    distinct, which = np.unique(offsets, return_inverse=True)
    pairs = np.zeros(len(rows))
    pairs[len(rows) - len(leave) :] = [len(one) for one in told.taken_out]
    size = np.bincount(which, EVENT_BYTES + ROW_BYTES * rows + PAIR_BYTES * pairs, len(distinct))
    return distinct, size.astype(np.int64)


def _between(told: Told, first: int, last: int) -> Told:
    return Told(
        _blocks_between(told.own, first, last),
        _blocks_between(told.mirrored, first, last),
        [one for one in told.taken_out if first <= one.offset <= last],
    )


def _blocks_between(blocks: Blocks, first: int, last: int) -> Blocks:
    """Return the blocks of the offsets from the first to the last one."""
    start, end = np.searchsorted(blocks.offset, [first, last + 1])
    row_start, row_end = np.append(0, np.cumsum(blocks.rows))[[start, end]]
    other: Ints = blocks.other[row_start:row_end]
    delta: Floats = blocks.delta[row_start:row_end]
    return Blocks(
        blocks.offset[start:end],
        blocks.item[start:end],
        blocks.rows[start:end],
        other,
        delta,
        blocks.holders_where(slice(start, end)),
    )
