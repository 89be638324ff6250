"""The model as records: instruments, then quotes and events, a batch per second of event time."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final

import numpy as np

from contracts.instruments import encode_instrument, instrument_key
from contracts.messages import Interaction, Quote, encode, key_of
from contracts.topics import INSTRUMENTS, INTERACTIONS, QUOTES
from producers.batch import Batch, Record
from producers.simulation.events import EVENT_TYPES, Crowd, Events
from producers.simulation.instruments import listed_instruments
from producers.simulation.market import Market, Quotes
from producers.simulation.world import Floats, Ints, World, make_world

STOCK_PER_USER: Final = 12
"""Events of each user in the back-fill: enough that recommendations exist at once."""
FULL_BACKFILL_S: Final = 300
"""A longer back-fill is thinned out: it has as many records as one of this length, so that an hour
of bars takes no longer than five minutes would. Sizes compensate for omitted quotes."""

_TRADE: Final = EVENT_TYPES.index("trade")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to simulate."""

    instruments: int
    users: int
    quotes_per_s: float
    """of all instruments together"""
    events_per_s: float
    """of all users together"""
    backfill_s: int
    duration_s: int | None
    """after the back-fill; None: endless"""
    seed: int

    @property
    def backfill_density(self) -> float:
        """Records per second of the back-fill, relative to the live rate."""
        return min(1.0, FULL_BACKFILL_S / self.backfill_s) if self.backfill_s else 1.0

    def due(self, per_s: float, second: int) -> int:
        """Return how many are due in a second, so that their sum never deviates from the rate."""
        return int(self._sum(per_s, second + 1)) - int(self._sum(per_s, second))

    def _sum(self, per_s: float, seconds: int) -> float:
        past = min(seconds, self.backfill_s)
        return (past * self.backfill_density + seconds - past) * per_s


def simulated(plan: Plan, live_from_ms: int) -> Iterator[Batch]:
    """Yield the instruments, then the records of each second, the back-fill's first.

    In the order of event time; the instruments, which have none, come with the first second. The
    same plan and start give the same records. The back-fill ends at `live_from_ms`.
    """
    for_world, for_market, for_crowd, for_listing = np.random.default_rng(plan.seed).spawn(4)
    world = make_world(plan.instruments, plan.users, for_world)
    market, crowd = Market(world, for_market), Crowd(world, for_crowd)
    stock = _stock(plan, for_crowd)
    first_ms = live_from_ms - plan.backfill_s * 1000
    yield _instruments(first_ms, world, for_listing)
    for second in _seconds(plan):
        is_past = second < plan.backfill_s
        quotes = market.second(plan.due(plan.quotes_per_s, second))
        if is_past:
            quotes = quotes.standing_for(1 / plan.backfill_density)
        also = stock[second] if is_past else stock[-1][:0]
        events = crowd.second(plan.due(plan.events_per_s, second), also)
        batch = _batch(first_ms + second * 1000, quotes, events, market.prices())
        if batch.records:
            yield batch


def _seconds(plan: Plan) -> Iterator[int]:
    if plan.duration_s is None:
        return count()
    return iter(range(plan.backfill_s + plan.duration_s))


def _stock(plan: Plan, rng: np.random.Generator) -> list[Ints]:
    """Return the users of the back-fill's guaranteed events, second by second."""
    users = rng.permutation(np.repeat(np.arange(plan.users), STOCK_PER_USER))
    return np.array_split(users, max(plan.backfill_s, 1))


def _instruments(ts_ms: int, world: World, rng: np.random.Generator) -> Batch:
    records = [
        (INSTRUMENTS.name, instrument_key(one.instrument_id), encode_instrument(one))
        for one in listed_instruments(world, rng)
    ]
    return Batch(ts_ms=np.full(len(records), ts_ms), records=records)


def _batch(start_ms: int, quotes: Quotes, events: Events, prices: Floats) -> Batch:
    records = [*_quote_records(start_ms, quotes), *_event_records(start_ms, events, prices)]
    ts_ms = start_ms + np.concatenate([quotes.offset_ms, events.offset_ms])
    order = np.argsort(ts_ms, kind="stable")
    return Batch(ts_ms=ts_ms[order], records=[records[place] for place in order.tolist()])


def _quote_records(start_ms: int, quotes: Quotes) -> Iterator[Record]:
    columns = (quotes.instrument, quotes.price, quotes.size, quotes.offset_ms)
    for instrument, price, size, offset_ms in zip(*(c.tolist() for c in columns), strict=True):
        quote = Quote(instrument_id=instrument, price=price, size=size, ts=start_ms + offset_ms)
        yield QUOTES.name, key_of(quote), encode(quote)


def _event_records(start_ms: int, events: Events, prices: Floats) -> Iterator[Record]:
    price = prices[events.instrument]
    columns = (events.user, events.instrument, events.event, price, events.quantity)
    rows = zip(*(c.tolist() for c in (*columns, events.offset_ms)), strict=True)
    for user, instrument, event, price_now, quantity, offset_ms in rows:
        trade = event == _TRADE
        interaction = Interaction(
            user_id=f"user-{user}",
            instrument_id=instrument,
            event=EVENT_TYPES[event],
            price=price_now if trade else None,
            quantity=quantity if trade else None,
            ts=start_ms + offset_ms,
        )
        yield INTERACTIONS.name, key_of(interaction), encode(interaction)
