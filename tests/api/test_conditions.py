"""Filters, boosts, diversity and pages of lists by `offset`, over HTTP from a real store.

The answers are compared with what a loop over the instruments makes of the whole lists.
"""

import itertools
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import httpx
import msgspec
import pytest

from api.http.filters import parse_boost, parse_condition
from api.recommendations.answers import Recommended
from api.recommendations.reranking import diversified
from contracts.generations import Current, Popular, PopularList, Served
from tests.cases import each
from tests.patience import until_true

from .asking import BASKET, BATCH, BODIES, answered, becomes, ids_of, items_of, of_user
from .conftest import ALL_ALIKE, THIS_HOUR, Filled, Serve
from .test_directory import meets

TECH, ENERGY = ("tech",), ("energy",)
OLD: Final = range(1, 61)
"""Even ones are of tech."""
NEW: Final = range(90, 94)
"""Of tech, without counts."""
TECHIE: Final = of_user("techie")
ASKED: Final[dict[str, Any]] = {
    BASKET: {"items": [{"instrument_id": 2}, {"instrument_id": 4}]},
    BATCH: {"user_ids": ["techie"]},
}
PAGED: Final = (
    *(TECHIE, of_user("own"), of_user("stranger")),
    *("/v1/instruments/2/similar", "/v1/trending", BASKET, BATCH),
)


@pytest.fixture
async def paged(serve: Serve, filled: Filled) -> AsyncIterator[httpx.AsyncClient]:
    similar = {"2": [(str(item), round(1 / item, 3), 1.0) for item in range(3, 31)]}
    filled.generation("g1", similar)
    counted = PopularList("popular", [Popular(str(item), 10, 10) for item in OLD], is_whole=True)
    filled.store.set(filled.keys.model_popular("g1"), msgspec.json.encode(counted))
    filled.history("techie", {"2": (2, 5), "4": (3, 6)}, off=7)
    filled.history("own", {"2": (1, 5)}, off=7)
    filled.user_list("g1", "own", off=7, items=[("8", 0.5, ["2"]), ("3", 0.25, ["2"])])
    for item in (*OLD, *NEW):
        filled.instrument(item, f"S{item}", categories=ENERGY if item in OLD and item % 2 else TECH)
        filled.events({item: item}, THIS_HOUR)
    async with serve() as paged:
        await until_counted(paged)
        yield paged


@until_true
async def until_counted(paged: httpx.AsyncClient) -> None:
    assert (await paged.get("/v1/trending")).json()["items"]
    assert any(item.get("source") == "new" for item in await items_of(paged, TECHIE))


async def joined(paged: httpx.AsyncClient, path: str, n: int, **more: Any) -> list[dict[str, Any]]:
    """Return all pages of a list, joined; the last one is empty."""
    more = ASKED.get(path, {}) | more
    items: list[dict[str, Any]] = []
    for offset in itertools.count(0, n):
        found = await items_of(paged, path, offset=offset, n=n, **more)
        if not found:
            return items
        items += found
    raise AssertionError


async def test_pages_joined_are_the_list(paged: httpx.AsyncClient) -> None:
    for path in PAGED:
        whole = await items_of(paged, path, n=100, **ASKED.get(path, {}))
        assert len(whole) > 20, path
        for n in (7, 10):
            assert await joined(paged, path, n) == whole, (path, n)


async def test_by_category_the_pages_have_all_of_the_catalog_once(
    paged: httpx.AsyncClient,
) -> None:
    whole = await items_of(paged, TECHIE, n=100, category="tech")
    assert await joined(paged, TECHIE, 7, category="tech") == whole
    assert {item["instrument_id"] for item in whole} == {*range(6, 61, 2), *NEW}
    new = [place for place, item in enumerate(whole, 1) if item.get("source") == "new"]
    assert new == [10, 20, 30, 32]


async def test_diversified_pages_of_one_length_have_each_instrument_once(
    paged: httpx.AsyncClient,
) -> None:
    for path in (TECHIE, BASKET):
        ids = [one["instrument_id"] for one in await joined(paged, path, 3, diversity=0.9)]
        plain = await ids_of(paged, path, n=100, **ASKED.get(path, {}))
        assert sorted(ids) == sorted(plain), path
        assert ids != plain


USER: Final = of_user("folded")
OWN: Final = of_user("own")
STRANGER: Final = of_user("stranger")
SIMILAR: Final = "/v1/instruments/2/similar"
LISTS: Final = (USER, OWN, STRANGER, SIMILAR, BASKET, BATCH)
UNKNOWN: Final = range(55, 61)
"""In lists, but not in the catalog."""
CATALOG: Final = range(1, 90)
"""The last ones are in no list."""
CONDITIONS: Final = (
    *("currency:eq:USD", "currency:ne:USD", "currency:in:EUR,GBP", "lot:ge:10", "lot:lt:100"),
    *("price:gt:0.5", "price:le:0.25", "halted:eq:true", "halted:ne:true", "since:ge:2020"),
)

CATEGORIES: Final = ("even", "third", "few")


def categories_of(item: int) -> tuple[str, ...]:
    return tuple(name for name, n in zip(CATEGORIES, (2, 3, 29), strict=True) if item % n == 0)


def attributes_of(item: int) -> dict[str, Any]:
    """Return what an instrument has: not every one has every attribute."""
    has = {
        "currency": ("USD", "EUR", "GBP")[item % 3],
        "lot": 10 ** (item % 4),
        "price": (item % 8) / 8,
        "halted": item % 5 == 0,
        "since": f"{2018 + item % 5}-06-01",
    }
    return {name: value for place, (name, value) in enumerate(has.items()) if (item + place) % 6}


@pytest.fixture
async def client(serve: Serve, filled: Filled) -> AsyncIterator[httpx.AsyncClient]:
    scores = {2: range(3, 50), 4: range(5, 60, 2)}
    similar = {
        str(of): [(str(item), round(1 / item, 3), 1.0) for item in items]
        for of, items in scores.items()
    }
    filled.generation("g1", similar)
    counted = [Popular(str(item), 100 - item // 3, 10) for item in range(1, 61)]
    whole = PopularList("popular", counted, is_whole=False)
    filled.store.set(filled.keys.model_popular("g1"), msgspec.json.encode(whole))
    filled.history("folded", {"2": (2, 5), "4": (3, 6)}, off=7)
    filled.history("own", {"2": (1, 5)}, off=7)
    own = [(str(item), round(0.9 - item / 100, 2), ["2"]) for item in range(3, 30, 3)]
    filled.user_list("g1", "own", off=7, items=own)
    for item in CATALOG:
        if item not in UNKNOWN:
            filled.instrument(
                item,
                f"S{item:02}",
                categories=categories_of(item),
                attributes=attributes_of(item),
                listed=item % 11 > 0,
            )
    async with serve() as client:
        await until_known(client)
        yield client


@until_true
async def until_known(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/instruments", params={"n": 200})
    assert len(answer.json()["items"]) == len(CATALOG) - len(UNKNOWN)


class Wish(NamedTuple):
    """What a request asks for."""

    filters: Sequence[str] = ()
    boosts: Sequence[str] = ()
    category: Sequence[str] = ()
    exclude_category: Sequence[str] = ()

    @property
    def narrows(self) -> bool:
        return bool(self.filters or self.category or self.exclude_category)

    def shows(self, item: int) -> bool:
        has, of = ({}, ()) if item in UNKNOWN else (attributes_of(item), categories_of(item))
        inside = not self.category or bool({*of} & {*self.category})
        met = all(meets(has, parse_condition(text)) for text in self.filters)
        return met and inside and not {*of} & {*self.exclude_category}

    def factor(self, item: int) -> float:
        has = {} if item in UNKNOWN else attributes_of(item)
        product = 1.0
        for condition, factor in map(parse_boost, self.boosts):
            product *= factor if meets(has, condition) else 1
        return product

    def fields(self, path: str) -> dict[str, Any]:
        """Return the parameters, or the fields of a body, that ask for it."""
        texts = {"category": self.category, "exclude_category": self.exclude_category}
        lists = {name: some if path in BODIES else ",".join(some) for name, some in texts.items()}
        of_path = {BATCH: {"user_ids": ["folded"]}}.get(path, ASKED.get(path, {}))
        return {"filter": self.filters, "boost": self.boosts, **lists, **of_path}


Item = tuple[int, str, float]
"""Id, source and score."""


def expected(whole: Mapping[str, Sequence[Item]], path: str, wish: Wish) -> list[Item]:
    """Return a list, given all of each without filters and boosts."""
    found = list[Item]()
    plain = [one for one in whole[path] if wish.shows(one[0])]
    for source in dict.fromkeys(source for _, source, _ in plain):
        some = [(i, of, score * wish.factor(i)) for i, of, score in plain if of == source]
        if source in ("history", "items"):
            some.sort()  # of equal scores, the smaller id comes first; elsewhere their order stays
        found += sorted(some, key=lambda one: -round(one[2], 12))
    if path == SIMILAR:
        return found or [one for one in expected(whole, STRANGER, wish) if one[1] != "catalog"]
    if wish.narrows:
        seen = {USER: {2, 4}, BASKET: {2, 4}, BATCH: {2, 4}, OWN: {2}}.get(path, set())
        never = {*seen, *UNKNOWN, *(item for item, _, _ in whole[path])}
        rest = [item for item in CATALOG if item not in never and item % 11 and wish.shows(item)]
        rest.sort(key=lambda item: -wish.factor(item))
        found += [(item, "catalog", 0) for item in rest]
    return found


async def answer_of(client: httpx.AsyncClient, path: str, wish: Wish) -> list[Item]:
    answer = await answered(client, path, n=100, **wish.fields(path))
    return [
        (item["instrument_id"], item.get("source", answer["source"]), item["score"])
        for item in answer["items"]
    ]


def almost(items: Sequence[Item]) -> list[tuple[int, str, Any]]:
    return [(item, source, pytest.approx(score, abs=1e-9)) for item, source, score in items]


async def test_lists_are_those_that_a_loop_over_all_instruments_makes(
    client: httpx.AsyncClient,
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng = random.Random(seed)
    whole = {path: await answer_of(client, path, Wish()) for path in LISTS}
    assert all(item % 11 or item in UNKNOWN for some in whole.values() for item, _, _ in some)
    for named, path in (("2", SIMILAR), ("folded", USER)):
        first = (await client.get(f"/instruments/similar/{named}")).json()["predicted_items"]
        assert first == [str(item) for item, _, _ in whole[path][:10]]
    for path in LISTS * 12:
        boosted = rng.sample(CONDITIONS, rng.choice((0, 0, 1, 2, 5)))
        wish = Wish(
            rng.sample(CONDITIONS, rng.choice((0, 0, 1, 2, 3))),
            [f"{condition}:{rng.choice((0.01, 0.5, 2, 100))}" for condition in boosted],
            rng.sample(CATEGORIES, rng.choice((0, 0, 1, 2))),
            rng.sample(CATEGORIES, rng.choice((0, 0, 1))),
        )
        wanted = expected(whole, path, wish)
        assert await answer_of(client, path, wish) == almost(wanted), (path, wish)
        n = rng.choice((3, 7, 20))
        pages = await joined(client, path, n, **wish.fields(path))
        ids = [item["instrument_id"] for item in pages]
        assert ids == [item for item, _, _ in wanted], (n, path, wish)


async def test_what_a_user_may_take_again_is_filtered_and_boosted_too(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.history("buyer", {str(item): (1 + item % 2, 5) for item in range(2, 10)}, off=7)
    wish = {"n": 8, "repeats": "first"}
    assert sorted(await ids_of(client, of_user("buyer"), **wish)) == [*range(2, 10)]
    asked = Wish(["lot:ge:1"], ["currency:eq:EUR:100"])
    found = await items_of(client, of_user("buyer"), **wish, **asked.fields(USER))
    ids = [item["instrument_id"] for item in found if "source" not in item]
    factors = [asked.factor(item) for item in ids]
    assert factors == sorted(factors, reverse=True)
    assert len({*factors}) == 2
    assert {*ids} == {item for item in range(2, 10) if asked.shows(item)}


async def test_a_similar_list_that_a_filter_empties_goes_on_with_what_is_popular_and_boosted(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    filled.generation("g2", {"86": [("87", 0.5, 1.0)], "85": []}, [("1", 9), ("2", 8), ("4", 7)])
    asked = {"filter": "lot:lt:1000", "boost": "lot:eq:100:3"}
    answer = await answered(client, "/v1/instruments/86/similar", **asked)
    assert answer["source"] == "popular"
    items = [(item["instrument_id"], item["score"]) for item in answer["items"]]
    assert items == [(2, 24.0), (1, 9.0), (4, 7.0)]
    like_no_other = await answered(client, "/v1/instruments/85/similar", **asked)
    assert (like_no_other["source"], like_no_other["items"]) == ("model", [])


async def test_a_filter_follows_the_catalog(client: httpx.AsyncClient, filled: Filled) -> None:
    answer = await client.get(STRANGER, params={"filter": "color:eq:red"})
    assert answer.status_code == 422
    filled.instrument(3, "S03", attributes={"color": "red"})
    await becomes([3], ids_of, client, STRANGER, filter="color:eq:red")


async def test_an_answer_that_was_kept_is_not_given_once_an_item_is_not_listed(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    first, *others = await ids_of(client, USER, n=6)
    for _ in range(2):  # the second one is kept
        assert await ids_of(client, USER, n=5) == [first, *others[:4]]
    filled.instrument(first, "GONE", listed=False)
    await becomes(others, ids_of, client, USER, n=5)


FORM: Final = "must be attribute:operator:value{}, with eq, ne, lt, le, gt, ge, in as operator"
OF_BOOSTS: Final = f"{FORM.format(':factor')} and a factor from 0.01 to 100"
ATTRIBUTE: Final = "must name an attribute that an instrument of the catalog has"
NO_ORDER: Final = "must compare halted, which has no order, by eq, ne or in"


@each(
    ("field", "text", "reason"),
    [
        ("filter", "color:eq:red", ATTRIBUTE),
        ("filter", "lot:10", FORM.format("")),
        ("filter", "lot:ge:ten", "must compare lot with a number"),
        ("filter", "lot:in:1,ten", "must compare lot with a number"),
        ("filter", "halted:eq:1", "must compare halted with true or false"),
        ("filter", "halted:gt:false", NO_ORDER),
        ("filter", f"lot:eq:{'1' * 500}", "must have at most 500 characters"),
        ("boost", f"lot:eq:{'1' * 490}:1.5", "must have at most 500 characters"),
        ("boost", "lot:eq:1:0", OF_BOOSTS),
        ("boost", "color:eq:1:2", ATTRIBUTE),
        ("boost", "lot:is:1:2", OF_BOOSTS),
    ],
)
async def test_what_cannot_be_compared_is_refused_by_name_and_value_and_with_a_remedy(
    client: httpx.AsyncClient, field: str, text: str, reason: str
) -> None:
    sound = {"filter": "lot:eq:1", "boost": "lot:eq:1:2"}[field]
    reason = f"{reason}, not {text!r:.100}"
    for path in (STRANGER, SIMILAR):
        answer = await client.get(path, params={field: [sound, text]})
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"field": field, "reason": reason}]
    for path, body in ASKED.items():
        answer = await client.post(path, json=body | {field: [sound, text]})
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"field": f"{field}[1]", "reason": reason}]


ABC = of_user("ABC")
OF_1: dict[str, Any] = {"items": [{"instrument_id": 1}], "n": 3}
OF_ITEMS = {1: ("a",), 2: ("a",), 3: ("a", "b"), 4: ("b",), 5: ()}


def chosen(items: Sequence[int], n: int, diversity: float) -> list[int]:
    some = [Recommended(item, 1 / (1 + place), []) for place, item in enumerate(items)]
    return [item.instrument_id for item in diversified(some, OF_ITEMS.__getitem__, n, diversity)]


@pytest.mark.parametrize(
    ("n", "diversity", "expected"),
    [
        (3, 0.0, [1, 2, 3]),
        (3, 0.4, [1, 4, 3]),  # after item 1, items 2 to 5 have .08, .16, .24 and .12
        (3, 1.0, [1, 4, 5]),
        (9, 1.0, [1, 4, 5, 3, 2]),
    ],
)
def test_items_are_chosen_by_marginal_relevance(
    n: int, diversity: float, expected: list[int]
) -> None:
    assert chosen([1, 2, 3, 4, 5], n, diversity) == expected


@pytest.fixture
async def diverse(serve: Serve, filled: Filled) -> AsyncIterator[httpx.AsyncClient]:
    filled.generation("g1", {"1": [(str(item), 1 / item, 1.0) for item in range(2, 40)]})
    filled.history("ABC", {"1": (1, 5)}, off=7)
    for item in range(1, 40):
        filled.instrument(item, f"S{item}", categories=("few",) if item % 7 == 0 else ("many",))
    async with serve() as diverse:
        yield diverse


async def test_a_request_or_a_variant_may_ask_for_diversity_and_a_request_overrides_that(
    diverse: httpx.AsyncClient, filled: Filled
) -> None:
    await becomes([2, 7, 3], ids_of, diverse, ABC, n=3, diversity=1)
    assert await ids_of(diverse, BASKET, **OF_1, diversity=1) == [2, 7, 3]
    assert await ids_of(diverse, ABC, n=3) == [2, 3, 4]  # from the cache, from now on
    filled.serve(Current(2, {"default": Served("g1", "cosine", "user-knn", ALL_ALIKE, 1.0)}))
    await becomes([2, 7, 3], ids_of, diverse, ABC, n=3)
    assert await ids_of(diverse, ABC, n=3, diversity=0) == [2, 3, 4]
    assert await ids_of(diverse, BASKET, **OF_1) == [2, 7, 3]
    assert await ids_of(diverse, BASKET, **OF_1, diversity=0) == [2, 3, 4]
    (of_default,) = (await diverse.get("/v1/models")).json()["variants"]
    assert of_default["serves"]["diversity"] == 1
