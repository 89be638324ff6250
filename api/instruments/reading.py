"""Reads of the catalog and of similar instruments: each returns its complete answer."""

from __future__ import annotations  # else annotations of inner functions are evaluated at each call

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Final, Literal, NamedTuple, TypeVar

import msgspec
from msgspec.structs import asdict, replace

from api.bars.answers import LatestQuote
from api.generations.pointer import Generation, Generations, decode_under_way, said
from api.generations.request_ids import RequestIds
from api.http.filters import ALL, Filter
from api.http.parsing import content_of_token, page_token
from api.http.problems import UNKNOWN_INSTRUMENT, Problem
from api.http.reply import LISTS, NOW, Reply, reply
from api.instruments.answers import (
    DescribedInstrument,
    Instruments,
    ListedInstrument,
    PredictedItems,
    Similar,
    SimilarInstrument,
)
from api.instruments.catalog import Catalog, Wanted
from api.instruments.index import Entry
from api.instruments.popular import PopularItems, Ranked
from api.instruments.visibility import Boosts, Shown
from api.redis.lru import LruCache
from api.redis.reading import Command, Read
from api.redis.store import Store
from contracts.fold_in import SCORE_DECIMALS
from contracts.generations import SimilarList, UnderWay

_similar = msgspec.json.Decoder(SimilarList)


def first_neighbors(value: bytes, n: int) -> SimilarList:
    """Parse a `SimilarList` from JSON, at least up to its first `n` neighbors.

    The rest is not decoded: a list has 200 neighbors, and usually ten are needed.
    """
    parts = value.split(b"},", n)
    if len(parts) > n:
        try:
            return _similar.decode(b"},".join(parts[:n]) + b"}]}")
        except msgspec.DecodeError:
            pass  # JSON from another program: in another order, or with blanks
    return _similar.decode(value)


def similar_items(
    similar: SimilarList, n: int, shown: Shown | None = None, boosts: Boosts | None = None
) -> list[SimilarInstrument]:
    """Return the first `n` neighbors of a list that have scores above 0 and may be shown.

    Boosts multiply the scores, so the list must be complete; of equal ones, its order stays.
    """
    if boosts is not None:
        items = similar_items(similar, len(similar.items), shown)
        scores = [round(one.score * boosts(one.instrument_id), SCORE_DECIMALS) for one in items]
        found = [replace(one, score=score) for one, score in zip(items, scores, strict=True)]
        return sorted(found, key=lambda one: -one.score)[:n]
    if shown is None:
        of_all = similar.items
    else:
        is_shown = (one for one in similar.items if one.score > 0 and shown(int(one.item)))
        of_all = [*islice(is_shown, n)]
    return [
        SimilarInstrument(int(one.item), one.score, one.support) for one in of_all if one.score > 0
    ][:n]


def popular_items(
    popular: Ranked,
    instrument_id: int,
    n: int,
    shown: Shown | None,
    boosts: Boosts | None = None,
) -> list[SimilarInstrument]:
    """Return the first `n` popular instruments that may be shown, except the one itself."""
    found = islice(popular.boosted(boosts).shown({instrument_id}, shown), n)
    return [SimilarInstrument(item, score, 0.0) for item, score in found]


NewestQuotes = Callable[[Sequence[int]], Read[Mapping[int, LatestQuote]]]
"""Reads the newest quotes of instruments, of those that have any."""

_PLACE: Final = re.compile(r"\S+ [0-9]{19}", re.ASCII)


class InstrumentReader:
    """Reads the catalog of one namespace."""

    def __init__(self, catalog: Catalog, quotes: NewestQuotes) -> None:
        self._catalog = catalog
        self._quotes = quotes

    def listed(
        self,
        search: str,
        listed: bool | None,  # noqa: FBT001 (a parameter's value, given by name)
        n: int,
        page_token: str | None,
        **filters: frozenset[str],
    ) -> Read[Reply]:
        """Answer with instruments by symbol, from memory."""
        yield from ()
        wanted = Wanted(search, Filter(**filters), listed, page_token)
        found = self._catalog.find(wanted, n + 1)
        items = [ListedInstrument(**asdict(entry)) for entry in found[:n]]
        return reply(Instruments(items, token_after(found, n)), NOW)

    def described(self, instrument: int) -> Read[Reply]:
        """Answer with an instrument and its newest quote; Problem if it is not in the catalog."""
        entry = self._catalog.entry(instrument)
        if entry is None:
            raise Problem(UNKNOWN_INSTRUMENT, f"Instrument {instrument} is not in the catalog")
        quotes = yield from self._quotes([instrument])
        return reply(DescribedInstrument(**asdict(entry), quote=quotes.get(instrument)), NOW)


def token_after(found: Sequence[Entry], n: int) -> str | None:
    """Return the token of the page after the first `n` instruments; None if there is none."""
    if len(found) <= n:
        return None
    return page_token(found[n - 1].place.encode())


def parse_page_token(text: str) -> str | None:
    """Return where a page begins, None for the first one, whose token is empty.

    >>> parse_page_token("YWFwbCAwMDAwMDAwMDAwMDAwMDAwMDA0")
    'aapl 0000000000000000004'

    Raises:
        ValueError: it is not a token.
    """
    if not text:
        return None
    try:
        place = content_of_token(text).decode()
    except ValueError:
        place = ""
    if not _PLACE.fullmatch(place):
        raise ValueError("must be the next_page_token of the previous page")
    return place


LEGACY_ITEMS: Final = 10
_SOUGHT: Final = 3
"""How many times the requested neighbors are read first, if not all may be shown."""

_REPLIES_BYTES: Final = 25_000_000
"""At least this much of the answers is cached, and at most twice as much: 17,000 of ten items."""
_REPLY_OBJECTS_BYTES: Final = 600
"""The overhead of a cached answer in addition to its body, with its key."""

T = TypeVar("T")


class _Found(NamedTuple):
    """Similar instruments, and their source."""

    source: Literal["model", "popular"]
    model: str
    items: list[SimilarInstrument]


class SimilarReader:
    """Reads the neighbors of instruments of one namespace."""

    def __init__(
        self,
        store: Store,
        generations: Generations,
        popular: PopularItems,
        catalog: Catalog,
        request_ids: RequestIds,
    ) -> None:
        self._keys = store.keys
        self._generations = generations
        self._popular_items = popular
        self._catalog = catalog
        self._request_ids = request_ids
        self._replies = LruCache[tuple[object, ...], Reply](_REPLIES_BYTES, _bytes_of)

    def similar(
        self,
        instrument: int,
        n: int,
        offset: int,
        boost: frozenset[str],
        *,
        names: bool,
        **filters: frozenset[str],
    ) -> Read[Reply]:
        """Answer with the neighbors of an instrument that may be shown.

        An answer of the same generation and catalog never changes, so it is cached.
        """
        signer = yield from self._request_ids.signer()
        wanted = Filter(**filters)
        asked = (instrument, n, offset, wanted, boost, names)
        made_of = (self._catalog.version, signer)

        def read(generation: Generation) -> Read[Reply | None]:
            key = (generation.name, generation.variant, *asked, *made_of)
            known = self._replies.get(key)
            if known is not None:
                yield ()
                return known
            limits = self._catalog.shown(wanted), self._catalog.boosts(boost)
            found = yield from self._found(generation, instrument, offset + n, *limits)
            if found is None:
                return None
            items = self._catalog.with_names(found.items[offset:], names=names)
            ids = [item.instrument_id for item in items]
            variant, name = generation.variant, generation.name
            request_id = signer.kept(variant, name, "similar", ids)
            answer = Similar(
                instrument, request_id, found.source, found.model, variant, name, items
            )
            made = reply(answer, LISTS)
            self._replies.keep(key, made)
            return made

        return (yield from self._within_one(instrument, read))

    def legacy(self, instrument_id: int) -> Read[Reply]:
        """Answer with the neighbors of an instrument in the first version's form."""
        shown = self._catalog.shown(ALL)
        found = yield from self._within_one(
            instrument_id,
            lambda generation: self._found(generation, instrument_id, LEGACY_ITEMS, shown),
        )
        return reply(PredictedItems([str(item.instrument_id) for item in found.items]), LISTS)

    def _within_one(
        self, instrument_id: int, read: Callable[[Generation], Read[T | None]]
    ) -> Read[T]:
        """Return what is read of an instrument in one generation; Problem if it has no list."""
        found = yield from self._generations.within_one(None, read)
        if found is None:
            (doing,) = yield [("GET", self._keys.model_under_way())]
            raise _unknown(instrument_id, decode_under_way(doing or "null"))
        return found

    def _found(
        self,
        generation: Generation,
        instrument_id: int,
        n: int,
        shown: Shown | None,
        boosts: Boosts | None = None,
    ) -> Read[_Found | None]:
        """Return similar instruments, or popular ones if none of these may be shown."""
        (value,) = yield [self._command(generation, instrument_id)]
        if value is None:
            return None
        found = first_neighbors(value, n if shown is None else _SOUGHT * n)
        items = similar_items(found, n, shown)
        if boosts is not None or (len(items) < n and shown is not None):
            found = _similar.decode(value)
            items = similar_items(found, n, shown, boosts)
        if items or not similar_items(found, 1):
            return _Found("model", found.model, items)
        popular = yield from self._popular_items.of(generation)
        if popular is None:
            return None
        items = popular_items(popular, instrument_id, n, shown, boosts)
        return _Found("popular", popular.model, items)

    def _command(self, generation: Generation, instrument_id: int) -> Command:
        """Return the command that reads the list of an instrument."""
        return "GET", self._keys.model_similar(generation.name, str(instrument_id))


def _unknown(instrument_id: int, under_way: UnderWay | None) -> Problem:
    detail = f"Instrument {instrument_id} had no interactions when the served lists were made"
    more = f"; {said(under_way)}" if under_way and under_way.what == "lists" else ""
    return Problem(UNKNOWN_INSTRUMENT, detail + more)


def _bytes_of(kept: Reply) -> int:
    return _REPLY_OBJECTS_BYTES + len(kept.body)
