"""Unit costs: CPU in microseconds, and bytes."""

from pathlib import Path
from typing import Final

import msgspec

MEASURED: Final = Path(__file__).with_name("costs.json")
"""Measured on the machine that the file names; the tables in docs/capacity.md use them."""


class _Costs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Costs of one kind."""


class FeedCosts(_Costs, frozen=True):
    """Of quotes, from the broker to bars in Redis."""

    record_us: float
    """of the worker, a quote that is fetched, decoded and folded"""
    batch_us: float
    """of the worker, what a fetch brings of one partition, besides its quotes"""
    value_us: float
    """of the worker, a bar that is read or written"""
    store_value_us: float
    """of Redis, the same"""
    broker_live_us: float
    """of the broker, a quote of a live feed that is published and fetched"""
    log_bytes: float
    """a quote takes in the log, compressed by its producer"""


class EventCosts(_Costs, frozen=True):
    """Of an event, through histories and counts: a straight line in the user's items."""

    worker_us: float
    worker_item_us: float
    """for each item that its user has"""
    store_us: float
    store_item_us: float
    broker_us: float
    broker_item_us: float
    log_bytes: float
    """of the event and of the changes that it makes, at no items"""
    log_item_bytes: float


class Request(_Costs, frozen=True):
    """Of one endpoint, when many requests arrive at once."""

    api_us: float
    """of the API process"""
    store_us: float
    """of Redis"""


class ReadCosts(_Costs, frozen=True):
    """Of requests."""

    turn_us: float
    """of the API process, a turn of its loop, however many requests it has"""
    store_turn_us: float
    """of Redis, the same"""
    store_write_us: float
    """of Redis, commands that arrive in one write"""
    endpoints: dict[str, Request]


class KeyCosts(_Costs, frozen=True):
    """Bytes in Redis."""

    instrument_bytes: float
    """without bars: its key, and its list of neighbors"""
    bar_bytes: float
    user_bytes: float
    """without items"""
    item_bytes: float
    """of a user's history"""
    pair_bytes: float
    """a count; in rows as long as a hash table"""
    short_pair_bytes: float
    """the same in rows so short that Redis packs them"""


class Costs(_Costs, frozen=True):
    """All of them, and where and when they were measured."""

    measured: str
    feed: FeedCosts
    events: EventCosts
    reads: ReadCosts
    keys: KeyCosts


def read_costs(path: Path) -> Costs:
    """Return the costs in a file.

    Raises:
        msgspec.DecodeError: it contains something else.
    """
    return msgspec.json.decode(path.read_bytes(), type=Costs)
