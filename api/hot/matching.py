"""Finds the hot endpoint for a request's target. Pure.

Targets that match no hot endpoint take the ordinary routes, such as ids with an unencoded slash.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import unquote

from api.http.endpoint import ReadEndpoint

_IN_PATH: Final = re.compile(r"\\\{(\w+)\\\}")


class Match(NamedTuple):
    """A target that matched a hot endpoint."""

    endpoint: ReadEndpoint
    path: str
    """as received"""
    of_path: dict[str, str]
    """the decoded parameters in it"""
    query: str
    """as received"""


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
            alternatives.append(f"({_IN_PATH.sub('([^/]+)', path)})")
            self._of_group[group] = (endpoint, names)
            group += 1 + len(names)
        self._pattern = re.compile("|".join(alternatives))

    def match(self, target: bytes) -> Match | None:
        """Return the endpoint for `target`, given as in the request line."""
        if not target.isascii() or b"#" in target:
            return None
        path, _, query = target.decode("ascii").partition("?")
        found = self._pattern.fullmatch(path)
        if found is None or found.lastindex is None:
            return None
        endpoint, names = self._of_group[found.lastindex]
        texts = {name: found[number] for name, number in names}
        if "%" in path:
            texts = {name: unquote(text) for name, text in texts.items()}
            # Decoded, this is a different path, which the framework handles.
            if "/" in "".join(texts.values()) and not endpoint.may_have_slashes:
                return None
        return Match(endpoint, path, texts, query)
