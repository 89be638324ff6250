"""The smoke of `clients/python`: main reads, writes and the stream, with and without asyncio."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator

from tickrec_client import AsyncTickrec, Tickrec, TickrecError
from tickrec_client.structs import Quote

_NEW: int = 1_000_003
"""not a simulated instrument"""


def checks(tickrec: Tickrec, instrument: int, user: str) -> Iterator[tuple[str, bool]]:
    """Yield the name of each check, and whether it succeeded."""
    yield "instrument_bars", len(tickrec.instrument_bars(instrument).bars) > 0
    yield "to_pandas", "c" in tickrec.bars([instrument], limit=2).to_pandas().columns
    yield "latest_quotes", tickrec.latest_quotes([instrument]).quotes[str(instrument)].price > 0
    yield "instruments_pages", len(next(tickrec.instruments_pages(n=3)).items) == 3
    yield "market_movers", tickrec.market_movers().window == "1h"
    yield "similar_instruments", len(tickrec.similar_instruments(instrument).items) > 0
    yield "trending_instruments", tickrec.trending_instruments() is not None
    yield "user_recommendations", len(tickrec.user_recommendations(user, n=3).items) == 3
    yield "user_history", tickrec.user_history(user).user_id == user
    described = tickrec.put_instrument(_NEW, symbol="SDK3", name="Made by tickrec-client")
    yield "put_instrument", described.instrument_id == _NEW
    quote = Quote(instrument_id=_NEW, price=2.5, ts=time.time_ns() // 1_000_000)
    yield "publish_events", tickrec.publish_events([quote]).quotes == 1
    try:
        tickrec.user_history("nobody")
    except TickrecError as problem:
        yield "a problem", problem.kind == "unknown-user"


async def checks_async(url: str, instrument: int) -> AsyncIterator[tuple[str, bool]]:
    """Yield the same of the client for asyncio, whose methods are the same code."""
    async with AsyncTickrec(url) as tickrec:
        yield "asyncio: instrument_bars", len((await tickrec.instrument_bars(instrument)).bars) > 0
        first = await anext(tickrec.stream_bars([instrument]))
        yield "asyncio: stream_bars", type(first).__name__ == "LiveBar"


async def _all(url: str, instrument: int, user: str) -> list[tuple[str, bool]]:
    with Tickrec(url) as tickrec:
        found = await asyncio.to_thread(lambda: list(checks(tickrec, instrument, user)))
    return found + [one async for one in checks_async(url, instrument)]


if __name__ == "__main__":
    address, instrument_id, user_id = sys.argv[1:]
    results = asyncio.run(_all(address, int(instrument_id), user_id))
    for name, succeeded in results:
        print("✓" if succeeded else "✗", name)  # noqa: T201 (a script that prints)
    sys.exit(not all(succeeded for _, succeeded in results))
