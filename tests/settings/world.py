"""What happens on the stacks: quotes of the last hours and events of the last years, up to now.

The same on every stack but for the moment that it begins at: a seed draws it.
"""

import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from contracts.event_types import BUILT_IN
from contracts.messages import Interaction, Quote
from contracts.times import DAY_MS, MINUTE_MS

SEED: Final = 20261126

INSTRUMENTS: Final = (1, 2, 3, 4, 5)
QUOTED_MINUTES: Final = 70
"""More than the default `BARS_RETENTION_MINUTES` keeps."""
SILENT: Final = 6
"""An instrument whose only quotes came before all others: what is kept goes by its own time."""

USERS: Final = tuple(f"u{n}" for n in range(40))
AWAY: Final = ("away1", "away2", "away3")
"""Whose last event is months ago."""
GONE: Final = ("gone1", "gone2")
"""Whose last event is over two years ago. Both come late, to be taken out again."""
NEWCOMER: Final = "newcomer"
STRANGER: Final = "stranger"
"""Of whom nothing is known."""
ITEMS: Final = tuple(range(1, 19))
ONLY_ITEM: Final = 99
"""Which a single user has."""
ACTIVE_DAYS: Final = 100
EVENTS_A_USER: Final = 16
KIND_SHARES: Final = [1 if weight <= 0 else 5 for weight in BUILT_IN.values()]


@dataclass(slots=True)
class World:
    """What was published, in its order, which is that of each partition's log."""

    now_ms: int
    quotes: list[Quote] = field(default_factory=list)
    events: list[Interaction] = field(default_factory=list)


def world(now_ms: int) -> World:
    """Return what has happened up to now, which lies a few seconds back at least."""
    draw = random.Random(SEED)
    return World(now_ms, list(_quotes(draw, now_ms)), list(_events(draw, now_ms)))


def _quotes(draw: random.Random, now_ms: int) -> Iterator[Quote]:
    """Yield quotes, two a minute and instrument; prices and sizes have exact sums."""
    first = now_ms - QUOTED_MINUTES * MINUTE_MS
    for k in range(3):
        yield Quote(instrument_id=SILENT, price=10 + k, size=2, ts=first - 2 * k * MINUTE_MS)
    for ts in range(first, now_ms, MINUTE_MS // 2):
        for instrument in INSTRUMENTS:
            at = max(first, ts - draw.randrange(45_000))  # some stand in the log behind a later one
            price = 10 * instrument + draw.randrange(40) / 4
            yield Quote(instrument_id=instrument, price=price, size=draw.randrange(9), ts=at)


def _events(draw: random.Random, now_ms: int) -> Iterator[Interaction]:
    recent = sorted(draw.randrange(DAY_MS, ACTIVE_DAYS * DAY_MS) for _ in USERS * EVENTS_A_USER)
    weights = [1 / rank for rank in range(1, len(ITEMS) + 1)]
    tastes = {user: draw.sample(ITEMS, len(ITEMS)) for user in USERS}
    for age_ms in reversed(recent):
        user = draw.choice(USERS)
        # Half of what a user does is of its own taste, half of everybody's.
        of = tastes[user] if draw.random() < 0.5 else ITEMS
        item = draw.choices(of, weights)[0]
        yield _event(draw, user, item, now_ms - age_ms - draw.randrange(DAY_MS // 2))
    yield _event(draw, USERS[0], ONLY_ITEM, now_ms - DAY_MS // 4)
    for user in USERS[::2]:
        yield _event(draw, user, draw.choice(ITEMS), now_ms - draw.randrange(DAY_MS // 4))


def long_ago(now_ms: int) -> list[Interaction]:
    """Return what users did who have been away since then."""
    draw = random.Random(SEED)
    ages = dict.fromkeys(GONE, 800) | dict.fromkeys(AWAY, 90)
    return [
        _event(draw, user, item, now_ms - days * DAY_MS + k)
        for user, days in ages.items()
        for k, item in enumerate(draw.sample(ITEMS, 6))
    ]


def _event(draw: random.Random, user: str, item: int, ts_ms: int) -> Interaction:
    (kind,) = draw.choices(list(BUILT_IN), KIND_SHARES)
    price = draw.randrange(1, 400) / 4 if draw.random() < 0.8 else None
    quantity = float(draw.randrange(1, 20)) if price and draw.random() < 0.8 else None
    return Interaction(
        user_id=user, instrument_id=item, event=kind, price=price, quantity=quantity, ts=ts_ms
    )


def write_quotes(path: Path, quotes: Sequence[Quote]) -> None:
    """Write a file for `python -m producers replay quotes`."""
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["ts_ms", "instrument_id", "price", "size"])
        lines.writerows((q.ts, q.instrument_id, q.price, q.size) for q in quotes)


def write_events(path: Path, events: Sequence[Interaction]) -> None:
    """Write a file for `python -m producers replay interactions`."""
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["ts_ms", "user_id", "instrument_id", "event", "price", "quantity"])
        lines.writerows(
            (e.ts, e.user_id, e.instrument_id, e.event, e.price, e.quantity) for e in events
        )
