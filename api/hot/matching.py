"""Finds the hot endpoint for a request's target. Pure.

Targets that match no hot endpoint take the ordinary routes, such as ids with an unencoded slash.
"""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

import msgspec

from api.http.endpoint import ReadEndpoint

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
