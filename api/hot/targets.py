"""Which read a request's target asks for, if it is a hot one in plain form. Pure.

Plain means: nothing is percent-encoded, no parameter is unknown, given twice or breaks its rule.
Everything else is for the ordinary routes, which also say what is wrong with it.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, get_args

from api.answering import Answering
from api.bars import Interval
from api.parameters import (
    DEFAULT_BARS,
    DEFAULT_ITEMS,
    MAX_BARS,
    MAX_RECOMMENDATIONS,
    MAX_SIMILAR,
    is_instrument,
    parse_excluded,
    parse_instrument_id,
    parse_time,
    parse_user_id,
)
from api.recommend import Wish
from api.redis.reading import Read
from api.replies import Reply

_TARGET: Final = re.compile(r"[A-Za-z0-9._~/-]+(?:\?[A-Za-z0-9._~=&,:-]*)?", re.ASCII)
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)
_BOOLEANS: Final = {"true": True, "false": False}
_FILLS: Final = {"none": False, "previous": True}
_NOTHING: Final[frozenset[int]] = frozenset()
_INTERVALS: Final[dict[str, Interval]] = {interval: interval for interval in get_args(Interval)}


class Hot(NamedTuple):
    """A hot request."""

    route: str
    """the template of its ordinary route"""
    path: str
    read: Read[Reply]


class _NotPlainError(ValueError):
    """The ordinary route has to look at it."""


def find(answering: Answering, target: bytes) -> Hot | None:
    """Return what `target`, as it stands in the request's first line, asks for; None if not hot."""
    text = target.decode("latin-1")
    if not _TARGET.fullmatch(text):
        return None
    path, _, query = text.partition("?")
    try:
        return _find(answering, path, _parameters(query) if query else {})
    except (ValueError, KeyError):
        return None


def _find(answering: Answering, path: str, query: Mapping[str, str]) -> Hot | None:
    match path.split("/"):
        case ["", "instruments", instrument] if not query:
            read = answering.legacy_bars(parse_instrument_id(instrument))
            return Hot("/instruments/{instrument_id}", path, read)
        case ["", "instruments", "similar", who] if not query and who:
            return Hot("/instruments/similar/{similar_to:path}", path, _similar_to(answering, who))
        case ["", "v1", "instruments", instrument, "bars"]:
            read = _bars(answering, parse_instrument_id(instrument), query)
            return Hot("/v1/instruments/{instrument_id}/bars", path, read)
        case ["", "v1", "instruments", instrument, "similar"]:
            read = _similar(answering, parse_instrument_id(instrument), query)
            return Hot("/v1/instruments/{instrument_id}/similar", path, read)
        case ["", "v1", "users", user, "recommendations"] if user:
            read = _recommendations(answering, parse_user_id(user), query)
            return Hot("/v1/users/{user_id:path}/recommendations", path, read)
    return None


def _similar_to(answering: Answering, who: str) -> Read[Reply]:
    if is_instrument(who):
        return answering.legacy_similar(parse_instrument_id(who))
    return answering.legacy_recommendations(parse_user_id(who))


def _bars(answering: Answering, instrument_id: int, query: Mapping[str, str]) -> Read[Reply]:
    taken = _taken(query, _OF_BARS)
    return answering.bars(
        instrument_id,
        taken.get("limit", DEFAULT_BARS),
        taken.get("end"),
        taken.get("interval", "1m"),
        fill=taken.get("fill", False),
    )


def _similar(answering: Answering, instrument_id: int, query: Mapping[str, str]) -> Read[Reply]:
    taken = _taken(query, _OF_SIMILAR)
    return answering.similar(instrument_id, taken.get("n", DEFAULT_ITEMS))


def _recommendations(answering: Answering, user_id: str, query: Mapping[str, str]) -> Read[Reply]:
    taken = _taken(query, _OF_RECOMMENDATIONS)
    wish = Wish(
        taken.get("n", DEFAULT_ITEMS),
        taken.get("exclude", _NOTHING),
        taken.get("include_seen", False),
    )
    return answering.recommendations(user_id, wish)


def _parameters(query: str) -> dict[str, str]:
    """Return the parameters of a query that gives each of them once, and a value to each."""
    parameters: dict[str, str] = {}
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        if not equals or not value or "=" in value or name in parameters:
            raise _NotPlainError(part)
        parameters[name] = value
    return parameters


def _taken(query: Mapping[str, str], readers: "_Readers") -> dict[str, Any]:
    """Return the values of parameters, each of which must have a reader."""
    return {name: readers[name](value) for name, value in query.items()}


def _up_to(most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not _NUMBER.fullmatch(text) or int(text) > most:
            raise _NotPlainError(text)
        return int(text)

    return read


def _time(text: str) -> int:
    if not text.isdigit():
        raise _NotPlainError(text)
    return parse_time(text)


_Readers = Mapping[str, Callable[[str], Any]]
_OF_BARS: Final[_Readers] = {
    "limit": _up_to(MAX_BARS),
    "end": _time,
    "interval": _INTERVALS.__getitem__,
    "fill": _FILLS.__getitem__,
}
_OF_SIMILAR: Final[_Readers] = {"n": _up_to(MAX_SIMILAR)}
_OF_RECOMMENDATIONS: Final[_Readers] = {
    "n": _up_to(MAX_RECOMMENDATIONS),
    "exclude": parse_excluded,
    "include_seen": _BOOLEANS.__getitem__,
}
