"""The catalog in memory finds and filters as a plain search through all instruments does."""

import operator
import re
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.http.filters import Condition, Filter, parse_boost, parse_condition
from api.instruments import index
from api.instruments.catalog import Catalog, Wanted
from api.instruments.index import Entry, index_attributes
from api.instruments.popular import Ranked
from api.instruments.postings import Building
from api.instruments.reading import parse_page_token, token_after
from contracts.generations import Popular, PopularList
from contracts.instruments import InstrumentDescription
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


COMPARED: Final = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
NAMES: Final = ["lot", "currency", "a:b", "é"]
texts = st.text(st.sampled_from("ab1é,: "), max_size=3) | st.sampled_from(
    ["true", "false", "1", "1.0", "-2", "1e3", "9007199254740993", "nan", "1e999", "2021-08-15"]
)
numbers = st.sampled_from([0, 1, 1.0, -2, 1000, 0.5, 2**53, 2**53 + 1, float(2**53), 2**63 - 1])
some_attributes = st.dictionaries(
    st.sampled_from(NAMES), st.booleans() | numbers | texts, max_size=len(NAMES)
)
operators = st.sampled_from(["eq", "ne", *COMPARED, "in"])
conditions = st.builds(
    "{}:{}:{}".format,
    st.sampled_from([*NAMES, "none-has-it"]),
    operators,
    texts | numbers.map(str) | st.lists(texts, max_size=3).map(",".join),
)

attributed = st.lists(some_attributes, max_size=8)


def read_as(value: Any, text: str) -> Any:
    """Return a text as a value of the same kind as another one, None if it is of no such."""
    if isinstance(value, bool):
        return {"true": True, "false": False}.get(text)
    if isinstance(value, str):
        return text
    try:
        number = int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError:
        return None
    return number if text not in ("nan", "1e999") and text.strip() == text else None


def meets(has: Mapping[str, Any], condition: Condition) -> bool:
    """Return whether an instrument meets a condition: the oracle."""
    name, comparison, values = condition
    if name not in has:
        return False
    value = has[name]
    wanted = [read_as(value, text) for text in values]
    equal = any(one is not None and one == value for one in wanted)
    if comparison in ("eq", "in"):
        return equal
    if comparison == "ne":
        return not equal
    (one,) = wanted
    return one is not None and not isinstance(value, bool) and COMPARED[comparison](value, one)


def with_attributes(catalog: list[dict[str, Any]]) -> Catalog:
    return of(
        {
            i: Entry(i, f"S{i}", "Name", (), listed=True, attributes=has)
            for i, has in enumerate(catalog)
        }
    )


@given(attributed, st.sets(conditions, min_size=1, max_size=3))
@example([{"lot": True}, {"lot": 1}, {"lot": 1.0}, {"lot": "1"}], {"lot:eq:1"})
@example([{"lot": 2**53}, {"lot": 2**53 + 1}], {"lot:gt:9007199254740992"})
@example([{"lot": float(2**53)}], {"lot:ne:9007199254740993"})
@example([{"lot": "b"}, {"lot": 1}], {"lot:ge:1"})
def test_a_filter_shows_what_meets_all_of_its_conditions(
    catalog: list[dict[str, Any]], texts: set[str]
) -> None:
    shown = with_attributes(catalog).shown(Filter(filter=frozenset(texts)))
    assert shown is not None
    expected = [
        all(meets(has, parse_condition(text)) for text in texts) for has in [*catalog, {}]
    ]  # the last one is not in the catalog
    assert shown.of(np.arange(len(catalog) + 1)).tolist() == expected
    assert [shown(item) for item in range(len(catalog) + 1)] == expected
    assert shown.listed().tolist() == [item for item, found in enumerate(expected) if found]


@given(
    attributed,
    st.dictionaries(conditions, st.sampled_from([0.01, 0.5, 1, 3, 100]), min_size=1, max_size=5),
)
def test_a_factor_is_the_product_of_the_boosts_whose_condition_is_met(
    catalog: list[dict[str, Any]], factors: dict[str, float]
) -> None:
    texts = [f"{text}:{factor}" for text, factor in factors.items()]
    assert [parse_boost(text)[1] for text in texts] == [*factors.values()]
    boosts = with_attributes(catalog).boosts(frozenset(texts))
    assert boosts is not None
    at_once = boosts.of(np.arange(len(catalog) + 1)).tolist()
    for item, has in enumerate([*catalog, {}]):
        product = 1.0
        for text, factor in factors.items():
            product *= factor if meets(has, parse_condition(text)) else 1
        assert at_once[item] == pytest.approx(product, rel=1e-12)
        assert boosts(item) == at_once[item]


@given(attributed, conditions)
def test_a_condition_is_refused_if_and_only_if_its_attribute_or_values_cannot_be_compared(
    catalog: list[dict[str, Any]], text: str
) -> None:
    name, comparison, values = condition = parse_condition(text)
    of_all = [has[name] for has in catalog if name in has]
    ordered = [value for value in of_all if not isinstance(value, bool)]
    comparable = ordered if comparison in COMPARED else of_all
    sound = all(any(read_as(v, text) is not None for v in comparable) for text in values)
    checked = with_attributes(catalog).check
    if sound and comparable:
        checked(condition)
    else:
        with pytest.raises(ValueError, match=r"must name an attribute|must compare"):
            checked(condition)


@given(st.integers(0, 300), st.sets(st.integers(0, 299)), st.booleans())
def test_a_popular_list_is_in_the_order_of_boosted_scores(
    n: int,
    left_out: set[int],
    filtered: bool,  # noqa: FBT001 (drawn)
) -> None:
    catalog = with_attributes([{"lot": item % 4} for item in range(300)])
    asked = frozenset(["lot:eq:3:50", "lot:ge:2:0.5"])
    boosts, shown = catalog.boosts(asked), catalog.shown(Filter(filter=frozenset(["lot:ge:1"])))
    factors = {item: (25 if item % 4 == 3 else 0.5 if item % 4 == 2 else 1) for item in range(300)}
    counted = [Popular(str(item), 1000 - item // 3, 1) for item in range(300)]
    popular = Ranked.decode(msgspec.json.encode(PopularList("popular", counted)))
    for _ in range(2):  # the second time, the order is kept
        found = popular.boosted(boosts).shown(left_out, shown if filtered else None)
        some = [
            (item, (1000 - item // 3) * factors[item])
            for item in range(300)
            if item not in left_out and not (filtered and item % 4 == 0)
        ]
        expected = sorted(some, key=lambda one: -one[1])
        assert [*islice(found, n)] == expected[:n]


def test_only_the_attributes_that_most_instruments_have_are_indexed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index, "INDEXED", 2)
    of_instruments: list[Mapping[str, Any]] = [{"a": 1}, {"b": 1, "c": 1}, {"c": 2, "b": 2}, {}]
    indexed = built(index_attributes(of_instruments))
    for name in ("b", "c"):
        indexed.check(parse_condition(f"{name}:eq:1"))
    with pytest.raises(ValueError, match="must name an attribute"):
        indexed.check(parse_condition("a:eq:1"))


@pytest.mark.parametrize(
    "text", ["lot:eq:1", "lot:eq:1:0", "lot:eq:1:101", "lot:eq:1:x", "lot:eq:1:nan", "lot:1:2", ""]
)
def test_a_boost_needs_a_condition_and_a_factor_in_bounds(text: str) -> None:
    with pytest.raises(ValueError, match=r"and a factor from 0\.01 to 100"):
        parse_boost(text)


@given(st.from_regex(r"[a:]{0,3}(:(eq|in|if))?[a:]{0,3}", fullmatch=True))
@example("a:eq:b")
def test_an_attribute_can_be_stored_if_and_only_if_a_filter_can_name_it(name: str) -> None:
    stored = {"symbol": "A", "name": "A", "attributes": {name: 5}}
    try:
        msgspec.convert(stored, InstrumentDescription)
    except msgspec.ValidationError:
        assert not name or parse_condition(f"{name}:eq:5").attribute != name
    else:
        assert parse_condition(f"{name}:eq:5") == Condition(name, "eq", ("5",))
