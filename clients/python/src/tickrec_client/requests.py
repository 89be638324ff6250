"""What requests consist of: limits of connections, paths, queries, bodies. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import quote

import httpx
import msgspec

TIMEOUT: Final = httpx.Timeout(8, connect=1)
"""A write waits for Kafka, 5 s at most."""
POOL: Final = httpx.Limits(max_connections=100, keepalive_expiry=4)
"""Shorter than the 5 s after which the API closes a connection that is not used."""
LISTENING: Final = httpx.Timeout(60, connect=1)
"""A stream says something every 15 s, if only that it lives."""
OPENING_S: Final = 5.0
"""For the handshake of a WebSocket."""
MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""Of a WebSocket: the newest bars of 500 instruments take some 100 KiB."""
KEPT_ANSWERS: Final = 1000


class Page(Protocol):
    """An answer that may have a next one."""

    @property
    def next_page_token(self) -> str | None:
        """What asks for the next page; None if this is the last one."""


def path(template: str, *names: int | str) -> str:
    """Return a path with names in its places.

    >>> path("/v1/users/{}/history", "Ada/Love lace?"), path("/v1/users/{}", "..")
    ('/v1/users/Ada%2FLove%20lace%3F/history', '/v1/users/%2E%2E')
    """
    # httpx takes a plain `..` for a step up.
    return template.format(*(quote(str(name), safe="").replace(".", "%2E") for name in names))


def given(**values: Any) -> dict[str, Any]:
    """Return the arguments that are not None.

    >>> given(n=3, listed=None)
    {'n': 3}
    """
    return {name: value for name, value in values.items() if value is not None}


class _Repeated(tuple[str, ...]):
    """What a query has several times."""

    __slots__ = ()


def repeated(values: Sequence[str] | None) -> Sequence[str] | None:
    """Return values that a query has one by one."""
    return None if values is None else _Repeated(values)


def query_of(query: Mapping[str, Any]) -> dict[str, str | int | bool | list[str]]:
    """Return a query with commas between the values of a sequence, except of a repeated one.

    >>> query_of({"instruments": [4, "GELA"], "n": 3, "filter": repeated(["lot:ge:10"])})
    {'instruments': '4,GELA', 'n': 3, 'filter': ['lot:ge:10']}
    """
    return {name: _in_query(value) for name, value in query.items()}


def _in_query(value: Any) -> Any:
    if isinstance(value, _Repeated):
        return [*value]
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else value


def json_of(body: object) -> dict[str, Any]:
    """Return the arguments of a request that sends a body as JSON, none without a body."""
    if body is None:
        return {}
    content = msgspec.json.encode(body)
    return {"content": content, "headers": {"Content-Type": "application/json"}}
