"""What a request's target and headers decide: its hot endpoint, and how that is answered.

A client sends the same headers with each request, byte by byte, and parsing and judging them takes
more of a hot request than finding its endpoint: known heads are not parsed again. A head is what
follows the request line's version: header lines, and the empty line.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import unquote

import msgspec

from api.http.answer_headers import given_id
from api.http.endpoint import ReadEndpoint
from api.http.keys.access import CREDENTIALS
from api.http.reply import Headers, joined, names_csv
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
        """Parse a hot request's headers; None if the ordinary route has to answer it."""
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


_IN_PATH: Final = re.compile(r"\\\{(\w+)\\\}")
_TEXT: Final = r"([!\"$-.0->@-~]+)"
"""Printable ASCII, which is all that a target may contain, but for `/`, `?` and `#`."""
_QUERY: Final = r"(?:\?[!\"$-~]*)?"


class Match(msgspec.Struct, frozen=True, gc=False):
    """A target that matched a hot endpoint."""

    endpoint: ReadEndpoint
    target: bytes
    """as received"""
    of_path: dict[str, str]
    """the decoded parameters in the path"""
    query: str
    """as received"""

    @property
    def path(self) -> str:
        """The target without the query."""
        return self.target.partition(b"?")[0].decode()


class Matcher:
    """Matches targets against all endpoints at once."""

    def __init__(self, endpoints: Iterable[ReadEndpoint]) -> None:
        self._of_group: dict[int, tuple[ReadEndpoint, list[tuple[str, int]]]] = {}
        """Group number in the pattern -> the endpoint, and the names in its path with their group
        numbers."""
        alternatives: list[str] = []
        group = 1
        for endpoint in endpoints:
            path = re.escape(endpoint.path)
            names = [
                (name, number) for number, name in enumerate(_IN_PATH.findall(path), group + 1)
            ]
            alternatives.append(f"({_IN_PATH.sub(lambda _: _TEXT, path)})")
            self._of_group[group] = (endpoint, names)
            group += 1 + len(names)
        self._pattern = re.compile(f"(?:{'|'.join(alternatives)}){_QUERY}".encode())

    def match(self, target: bytes) -> Match | None:
        """Return the endpoint for `target`, given as in the request line."""
        found = self._pattern.fullmatch(target)
        if found is None or found.lastindex is None:
            return None
        group = found.lastindex
        endpoint, names = self._of_group[group]
        of_path = {name: found[number].decode() for name, number in names}
        if b"%" in target:
            of_path = {name: unquote(text) for name, text in of_path.items()}
            # Decoded, this is a different path, which the framework handles.
            if "/" in "".join(of_path.values()) and not endpoint.may_have_slashes:
                return None
        return Match(endpoint, target, of_path, target[found.end(group) + 1 :].decode())
