"""The smoke of the client that openapi-python-client generates: main reads, writes, an error."""

import sys
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from generated import Client
from generated.api.events import publish_events
from generated.api.instruments import (
    bars,
    instrument_bars,
    instruments,
    latest_quotes,
    market_movers,
    put_instrument,
    similar_instruments,
)
from generated.api.recommendations import trending_instruments
from generated.api.users import user_history, user_recommendations
from generated.models import InstrumentDescription, PublishEventsQuoteEvent
from generated.models.publish_events_quote_event_type import PublishEventsQuoteEventType


def checks(client: Any, instrument: int, user: str) -> Iterator[tuple[str, bool]]:
    """Yield the name of each check, and whether it succeeded."""
    yield "instrument_bars", instrument_bars.sync(instrument, client=client).bars[-1].c > 0
    found = bars.sync(client=client, instruments=[instrument], limit=2)
    yield "bars", str(instrument) in found.bars.additional_properties
    found = latest_quotes.sync(client=client, instruments=[instrument])
    yield "latest_quotes", found.quotes[str(instrument)].price > 0
    yield "instruments", len(instruments.sync(client=client, n=3).items) == 3
    yield "market_movers", market_movers.sync(client=client).window == "1h"
    yield "similar_instruments", len(similar_instruments.sync(instrument, client=client).items) > 0
    yield "trending_instruments", trending_instruments.sync(client=client) is not None
    found = user_recommendations.sync(user, client=client, n=3)
    yield "user_recommendations", len(found.items) == 3
    yield "user_history", user_history.sync(user, client=client).user_id == user
    described = InstrumentDescription(symbol="SDK1", name="Made by a generated client")
    put = put_instrument.sync_detailed(1_000_001, client=client, body=described)
    yield "put_instrument", put.status_code == HTTPStatus.ACCEPTED
    quote = PublishEventsQuoteEvent(
        type_=PublishEventsQuoteEventType.QUOTE,
        instrument_id=1_000_001,
        price=2.5,
        ts=time.time_ns() // 1_000_000,
    )
    for replayed in (None, "true"):
        answer = publish_events.sync_detailed(
            client=client, body=[quote], idempotency_key=f"sdk-{quote.ts}"
        )
        same = answer.headers.get("Idempotent-Replayed") == replayed
        yield f"publish_events, replayed: {replayed}", answer.parsed.quotes == 1 and same
    problem = user_history.sync_detailed("nobody", client=client)
    yield "a problem", problem.parsed.type_ == "urn:tickrec:problem:unknown-user"


if __name__ == "__main__":
    url, instrument_id, user_id = sys.argv[1:]
    results = list(checks(Client(base_url=url), int(instrument_id), user_id))
    for name, succeeded in results:
        print("✓" if succeeded else "✗", name)  # noqa: T201 (a script that prints)
    sys.exit(not all(succeeded for _, succeeded in results))
