"""The host names that a server without keys answers to.

Without keys, anyone who can reach the server may do everything. A page can make its own name
resolve to the server's address (DNS rebinding): a browser then treats both as one origin and lets
the page read and write. `Host` still has the page's name, so a server without keys answers only to
names that no such page can have.
"""

from collections.abc import Collection
from ipaddress import ip_address
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.failures import problem_response
from api.http.problems import UNKNOWN_HOST, Problem

HOSTS: Final = "hosts"
"""In the lifespan state: the names that the server answers to; None: any."""
ANY_HOST: Final = "*"

_MAX_KNOWN: Final = 1000
"""Of `Host` headers: an allowed name may be written in many ways, with any port."""


class Hosts:
    """The names that a server answers to: localhost, IP addresses, and those of a setting."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)
        self._known: set[bytes] = set()
        """allowed headers, as received"""

    def allow(self, header: bytes) -> bool:
        """Return whether the server answers to a `Host` header.

        >>> hosts = Hosts(["shop.example"])
        >>> hosts.allow(b"shop.example:8000"), hosts.allow(b"[::1]"), hosts.allow(b"evil.example")
        (True, True, False)
        """
        if header in self._known:
            return True
        if not self._is_allowed(header.decode("latin-1").lower()):
            return False
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known.add(header)
        return True

    def _is_allowed(self, host: str) -> bool:
        name = name_of(host)
        local = name == "localhost" or name.endswith(".localhost")
        return local or name in self._names or _is_address(name)


class Named:
    """Passes a request on to `app` if the server answers to its host name."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or reject it."""
        given = _host_of(scope) if scope["type"] == "http" else None
        # Every browser sends `Host`, so a request without it is not from a page.
        if given is None or self._hosts.allow(given):
            await self._app(scope, receive, send)
        else:
            refusal = problem_response(Request(scope), _unknown(given.decode("latin-1")))
            await refusal(scope, receive, send)


def name_of(host: str) -> str:
    """Return the name in a `Host` header, without the port.

    >>> name_of("shop.example:8000"), name_of("[::1]:8000")
    ('shop.example', '[::1]')
    """
    name, colon, port = host.rpartition(":")
    return name if colon and (port.isdigit() or not port) else host


def _is_address(name: str) -> bool:
    is_v6 = name.startswith("[") and name.endswith("]")
    try:
        return ip_address(name[1:-1] if is_v6 else name).version == (6 if is_v6 else 4)
    except ValueError:
        return False


def _host_of(scope: Scope) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == b"host"), None)


def _unknown(host: str) -> Problem:
    detail = (
        f"Host {host!r:.100}: without API keys the server answers only to localhost, to IP "
        "addresses and to the names in API_HOSTS. If the name is one of its own, set "
        f"API_HOSTS={name_of(host):.100}, or set API_KEYS or API_KEYS_FILE"
    )
    return Problem(UNKNOWN_HOST, detail)
