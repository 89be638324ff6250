"""Calls of the client's methods, with the values that the API's description shows."""

import inspect
import re
import time
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Any, Final

import httpx
import msgspec

from api.http.endpoint import Endpoint
from tests.described import operations
from tickrec_client import AsyncTickrec, Tickrec
from tickrec_client.structs import Instrument, Interaction, Quote, SentFeedback, WeightedItem

from .client_code import APP

ENDPOINTS: Final[dict[str, Endpoint]] = {
    endpoint.name: endpoint for endpoint in APP.state.table if endpoint.path.startswith("/v1/")
}
"""All of `/v1`, by the names of their methods."""


def matches(endpoint: Endpoint, request: httpx.Request) -> bool:
    path = re.sub(r"\{\w+\}", "[^/]+", endpoint.path)
    same_path = re.fullmatch(path, request.url.raw_path.decode().partition("?")[0]) is not None
    return request.method == endpoint.method and same_path


def shown() -> dict[str, Any]:
    """Return a value for each parameter, and each member of a body, from the API's description."""
    found: dict[str, Any] = {}
    for operation in operations(APP.openapi()):
        for name, (first, *_) in operation.in_path.items():
            found.setdefault(name, first)
        for name, values in operation.in_query.items():
            found.setdefault(name, next(iter(values), None))
        for body in operation.bodies:
            found = {**body, **found} if isinstance(body, dict) else found
    return found


NOW_MS: Final = time.time_ns() // 1_000_000
EVENTS: Final = [
    Quote(instrument_id=4, price=2, ts=NOW_MS),
    Interaction(user_id="ABC", instrument_id=4, price=2, quantity=3, ts=NOW_MS),
]
VALUES: Final = {
    **shown(),
    "instrument": "SUCA",
    "instruments": [4, "SUCA", 8],
    "exclude": [5],
    "start": 0,
    "end": NOW_MS,
    "page_token": None,
    "idempotency_key": None,
    "window": "1h",
    "category": [],
    "exclude_category": ["a", "b"],
    "filter": ["currency:in:USD,EUR", "lot:ge:10"],
    "boost": ["lot:ge:10:2", "currency:eq:EUR:0.5"],
    "search": "su",
    "symbol": "NEW",
    "name": "spring",
    "listed": True,
    "items": [WeightedItem(instrument_id=4, weight=2), WeightedItem(instrument_id=7)],
    "events": EVENTS,
    "source": EVENTS,
}
"""Arguments by their names: what the test's store has, and the client's own types."""


def call(tickrec: Tickrec, name: str) -> Any:
    """Call a method; of a stream, return what happens first."""
    method = getattr(tickrec, name)
    given = {one: VALUES[one] for one in inspect.signature(method).parameters}
    if name == "stream":
        with tickrec.stream() as stream:
            stream.subscribe(bars=VALUES["instruments"])
            return list(islice(stream, 3))
    if name in ("put_instrument", "delete_instrument"):
        given["instrument"] = 9
    if name == "put_instruments":
        given["instruments"] = [Instrument(instrument_id=9, symbol="NEW", name="spring")]
    if name == "publish_feedback":
        given["events"] = seen(tickrec)
    found = method(**given)
    return list(islice(found, 2)) if isinstance(found, Iterator) else found


async def call_async(url: str, key: str, name: str) -> Any:
    async with AsyncTickrec(url, key) as tickrec:
        method = getattr(tickrec, name)
        if name == "stream":
            async with tickrec.stream() as stream:
                await stream.subscribe(bars=VALUES["instruments"])
                changes = aiter(stream)
                return [await anext(changes) for _ in range(3)]
        found = method(**{one: VALUES[one] for one in inspect.signature(method).parameters})
        if isinstance(found, AsyncIterator):
            return [await anext(found), await anext(found)]
        return await found


def seen(tickrec: Tickrec) -> list[SentFeedback]:
    """Return feedback on recommendations that were just made."""
    found = tickrec.user_recommendations("ABC")
    impression = SentFeedback(
        type="impression",
        request_id=found.request_id,
        user_id="ABC",
        instrument_id=found.items[0].instrument_id,
        position=1,
    )
    return [impression, msgspec.structs.replace(impression, type="click")]
