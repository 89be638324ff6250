"""Calls of the client's methods, with the values that the API's description shows."""

import contextlib
import inspect
import re
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, get_args, get_type_hints

import httpx

from api.app import create_app
from api.http.endpoint import Endpoint, Table
from api.settings import ApiSettings
from docs.examples.tickrec_client import Tickrec, TickrecError
from docs.examples.tickrec_client.catalog import Description
from docs.examples.tickrec_client.events import Click, Impression, Interaction, Quote
from docs.examples.tickrec_client.recommendations import WeightedItem
from infra.local.described import operations

APP: Final = create_app(ApiSettings())
TABLE: Final[Table] = APP.state.table
OURS: Final = {str(endpoint): endpoint for endpoint in TABLE if endpoint.path.startswith("/v1/")}
BASKET: Final = [WeightedItem(4, 2), WeightedItem(7)]
DESCRIPTION: Final = Description(symbol="NEW", name="New Corp.", categories=["tech"])


def matches(endpoint: Endpoint, request: httpx.Request) -> bool:
    """Return whether a request is one of the endpoint's."""
    path = re.sub(r"\{\w+\}", "[^/]+", endpoint.path)
    same_path = re.fullmatch(path, request.url.raw_path.decode().partition("?")[0]) is not None
    return request.method == endpoint.method and same_path


PAGES: Final = re.compile("(.+_)?pages")
"""Methods that call another one until there is nothing more."""


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
VALUES: Final = {
    **shown(),
    "instrument": "SUCA",
    "instrument_id": 9,
    "instruments": [4, "SUCA", 8],
    "exclude": [5],
    "start": 0,
    "end": NOW_MS,
    "page_token": None,
    "window": "1h",
    "category": [],
    "exclude_category": ["a", "b"],
    "search": "su",
    "name": "spring",
    "listed": True,
    "items": BASKET,
    "description": DESCRIPTION,
    "events": [
        Quote(instrument_id=4, price=2, ts=NOW_MS),
        Interaction(user_id="ABC", instrument_id=4, price=2, quantity=3, ts=NOW_MS),
    ],
    "seen": [],
}
"""Arguments by their names: what the test's store has, and the client's own types."""


def methods(tickrec: Tickrec) -> dict[str, Callable[..., Any]]:
    """Return the client's methods by their names, such as `market.bars`."""
    return {
        f"{subject}.{name}": method
        for subject, of in vars(tickrec).items()
        for name, method in inspect.getmembers(of, inspect.ismethod)
        if not subject.startswith("_") and not name.startswith("_") and not PAGES.fullmatch(name)
    }


def arguments(method: Callable[..., Any]) -> dict[str, Any]:
    """Return a value for each argument, also for those of `**query`."""
    found = {}
    for name, parameter in inspect.signature(method).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            (query,) = get_args(get_type_hints(method)[name])
            found |= {key: VALUES[key] for key in get_type_hints(query)}
        else:
            found[name] = VALUES[name]
    return found


def call(tickrec: Tickrec, name: str) -> Any:
    """Call a method; of a stream, return what happens first."""
    method = methods(tickrec)[name]
    given = arguments(method)
    if "seen" in given:
        given["seen"] = seen(tickrec)
    found = method(**given)
    return list(islice(found, 2)) if isinstance(found, Iterator) else found


def seen(tickrec: Tickrec) -> list[Impression | Click]:
    found = tickrec.recommendations.for_user("ABC")
    about = {"request_id": found.request_id, "user_id": "ABC", "position": 1}
    instrument_id = found.items[0].instrument_id
    return [kind(instrument_id=instrument_id, **about) for kind in (Impression, Click)]


def asked_by(name: str, tickrec: Tickrec) -> httpx.Request:
    """Return the request that a method sends."""
    asked: list[httpx.Request] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(404, json={})

    transport = httpx.MockTransport(refuse)
    tickrec._connection._http = httpx.Client(base_url="http://api", transport=transport)
    method = methods(tickrec)[name]
    with contextlib.suppress(TickrecError):
        next(iter(method(**arguments(method))))
    return asked[0]


NOWHERE: Final = Tickrec("http://api")
ASKED: Final = {name: asked_by(name, NOWHERE) for name in methods(NOWHERE)}
ENDPOINTS: Final = {
    name: endpoint
    for name, request in ASKED.items()
    for endpoint in OURS.values()
    if matches(endpoint, request)
}
