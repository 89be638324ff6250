"""The catalog in memory finds the same as a linear search through all instruments."""

import re
from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.filters import Filter
from api.instruments.catalog import Catalog, Wanted
from api.instruments.index import Entry
from api.instruments.postings import Building
from api.instruments.reading import parse_page_token, token_after
from contracts.messages import MAX_INSTRUMENT_ID

T = TypeVar("T")

CATEGORIES = ["tech", "Tech", "energy", "a.b"]
names = st.text(st.sampled_from("abÄßcİ -."), min_size=1, max_size=12)
symbols = st.text(st.sampled_from("aAbB1./"), min_size=1, max_size=4)
some_categories = st.sets(st.sampled_from([*CATEGORIES, "none"]), max_size=2).map(frozenset)


LARGE = [2**22 - 1, 2**22, MAX_INSTRUMENT_ID]


@st.composite
def catalogs(draw: st.DrawFn) -> Mapping[int, Entry]:
    some_ids = st.integers(0, 40) | st.sampled_from(LARGE)
    ids = draw(st.lists(some_ids, unique=True, max_size=15))
    return {
        i: Entry(
            i,
            draw(symbols),
            draw(names),
            tuple(draw(st.lists(st.sampled_from(CATEGORIES), max_size=3))),
            draw(st.booleans()),
            {},
        )
        for i in ids
    }


def built(building: Building[T]) -> T:
    while True:
        try:
            next(building)
        except StopIteration as returned:
            found: T = returned.value
            return found


def of(by_id: Mapping[int, Entry]) -> Catalog:
    catalog = Catalog()
    built(catalog.replace(by_id))
    return catalog


def words(entry: Entry) -> set[str]:
    name = entry.name.casefold()
    return {entry.symbol.casefold(), *name.split(), *re.findall(r"\w+", name)}


def matches(entry: Entry, wanted: Wanted) -> bool:
    return (
        all(
            any(word.startswith(asked) for word in words(entry))
            for asked in wanted.words.casefold().split()
        )
        and (not wanted.filter.category or bool(wanted.filter.category & {*entry.categories}))
        and not wanted.filter.exclude_category & {*entry.categories}
        and wanted.listed in (None, entry.listed)
        and (wanted.after is None or entry.place > wanted.after)
    )


@given(
    catalogs(),
    st.builds(
        Wanted,
        st.text(st.sampled_from("aAb1.äß "), max_size=4),
        st.builds(Filter, some_categories, some_categories, st.just(frozenset())),
        st.sampled_from([None, True, False]),
    ),
    st.integers(1, 6),
)
def test_pages_together_are_all_that_a_plain_search_finds_by_symbol(
    by_id: Mapping[int, Entry], wanted: Wanted, n: int
) -> None:
    expected = sorted((e for e in by_id.values() if matches(e, wanted)), key=lambda e: e.place)
    directory = of(by_id)
    found: list[Entry] = []
    after = wanted.after
    for _ in range(len(by_id) + 1):
        page = directory.find(wanted._replace(after=after), n + 1)
        found += page[:n]
        token = token_after(page, n)
        if token is None:
            break
        after = parse_page_token(token)
    assert found == expected


@given(catalogs(), symbols)
def test_a_symbol_means_the_listed_instrument_with_the_lowest_id_whatever_its_case(
    by_id: Mapping[int, Entry], symbol: str
) -> None:
    having = [e for e in by_id.values() if e.symbol.casefold() == symbol.casefold()]
    best = min(having, key=lambda e: (not e.listed, e.instrument_id), default=None)
    expected = best and best.instrument_id
    directory = of(by_id)
    assert directory.resolve(symbol.upper()) == directory.resolve(symbol.lower()) == expected


@given(catalogs(), some_categories, some_categories)
def test_what_is_shown_is_listed_and_in_the_categories_or_unknown_without_any(
    by_id: Mapping[int, Entry], categories: frozenset[str], excluded: frozenset[str]
) -> None:
    shown = of(by_id).shown(Filter(categories, excluded))
    asked = [*range(45), *LARGE]
    at_once = asked if shown is None else shown.of(np.array(asked))
    for instrument_id, is_shown in zip(asked, at_once, strict=True):
        entry = by_id.get(instrument_id)
        if entry is None:
            expected = not categories
        else:
            inside = not categories or bool(categories & {*entry.categories})
            expected = entry.listed and inside and not excluded & {*entry.categories}
        assert (shown is None or shown(instrument_id)) == expected
        assert shown is None or bool(is_shown) == expected


@pytest.mark.parametrize("token", ["x", "W10", "WyJhIl0", "WyJhYXBsIiwiNCJd", "é", "a b", "=" * 9])
def test_a_token_of_no_page_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="next_page_token"):
        parse_page_token(token)
