"""What a request's headers decide about its answer: known heads are not parsed again.

A client sends the same headers with each request, byte by byte, and parsing and judging them takes
more of a hot request than finding its endpoint. A head is what follows the request line's version:
header lines, and the empty line.
"""

import re
from typing import Final, NamedTuple

from api.http.correlation import given_id
from api.http.csv_answers import names_csv
from api.http.keys.access import CREDENTIALS
from api.http.replies import Headers, joined
from api.http.security import Hosts

_ONE_HEAD: Final = re.compile(rb"(?:[^\r\n]+\r\n)+\r\n")
_MAX_KNOWN: Final = 1_000
_MAX_KNOWN_BYTES: Final = 2_048
"""Of one: a browser's has about 800, with cookies."""
_WITH_A_BODY: Final = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade"})
_OF_A_PAGE: Final = _WITH_A_BODY | {b"origin"}


class Head(NamedTuple):
    """The headers of a request that may be hot."""

    credentials: Headers
    """those that may have a key"""
    if_none_match: bytes | None
    request_id: bytes | None
    """as `given_id`"""
    keep_alive: bool
    """whether the client keeps the connection"""


class Heads:
    """Judges the headers of one server's requests."""

    def __init__(self, hosts: Hosts | None, *, cors: bool) -> None:
        """Judge by the host names that the server answers to, None: any; `cors`: as in `State`."""
        self._hosts = hosts
        self._ordinary = _OF_A_PAGE if cors else _WITH_A_BODY
        self._known: dict[bytes, Head] = {}
        """Keyed by the head as received."""
        self.known = self._known.get
        """Returns what was judged of a head before, None if it is not known."""

    def judge(self, headers: Headers, *, keep_alive: bool) -> Head | None:
        """Return what headers say; None if the ordinary route has to answer the request."""
        given = dict(headers)
        if not self._ordinary.isdisjoint(given):
            return None
        host = given.get(b"host")
        if host is not None and self._hosts is not None and not self._hosts.allow(host):
            return None  # the ordinary route rejects it
        if b"accept" in given and names_csv(value for name, value in headers if name == b"accept"):
            return None
        tags = None
        if b"if-none-match" in given:
            tags = joined(value for name, value in headers if name == b"if-none-match")
        credentials = [each for each in headers if each[0] in CREDENTIALS]
        return Head(credentials, tags, given_id(headers), keep_alive)

    def remember(self, raw: bytes, head: Head) -> None:
        """Remember what was judged of a head, unless another request will hardly have it.

        Tags differ from answer to answer, and ids from request to request. Whatever is not exactly
        one head, such as the rest of several requests, is left to the parser each time.
        """
        if head.if_none_match is not None or head.request_id is not None:
            return
        if len(raw) > _MAX_KNOWN_BYTES:
            return
        if _ONE_HEAD.fullmatch(raw):
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[raw] = head
