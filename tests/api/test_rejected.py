"""What a user hid or disliked is recommended from no source, over HTTP from a real store."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.cases import each

from .conftest import Filled, Serve
from .lists import of_user, source_and_ids

HIDDEN, DISLIKED, TAKEN = 2, 3, 4
OTHERS = [5, 6, 7]
EVERYTHING = [HIDDEN, DISLIKED, TAKEN, *OTHERS]
BEHIND_POPULAR = 8
"""In the catalog alone."""


@pytest.fixture
async def client(serve: Serve, filled: Filled) -> AsyncIterator[httpx.AsyncClient]:
    neighbors = [(str(item), 1 / item, 1.0) for item in EVERYTHING]
    filled.generation(
        "g1", {str(TAKEN): neighbors}, popular=[(str(item), 9 - item) for item in EVERYTHING]
    )
    for item in (*EVERYTHING, BEHIND_POPULAR):
        filled.instrument(item, f"S{item}", categories=("all",))
    for user in ("folded", "listed"):
        history = {str(HIDDEN): (0, 5), str(DISLIKED): (-1, 5), str(TAKEN): (1, 5)}
        filled.history(user, history, off=7)
    filled.history("rejecting", {str(HIDDEN): (0, 5), str(DISLIKED): (-1, 5)}, off=7)
    filled.user_list("g1", "listed", 7, [(str(item), 1 / item, []) for item in EVERYTHING])
    async with serve() as client:
        yield client


@each("seen", [{}, {"repeats": "first"}])
@each("category", [{}, {"category": "all"}])
@each(("user", "source"), [("folded", "history"), ("listed", "model"), ("rejecting", "popular")])
async def test_rejected_items_are_recommended_from_no_source(
    client: httpx.AsyncClient, user: str, source: str, seen: Any, category: Any
) -> None:
    of, items = await source_and_ids(client, of_user(user), n=20, **seen, **category)
    assert not {HIDDEN, DISLIKED} & {*items}
    assert {*OTHERS} <= {*items}
    assert (BEHIND_POPULAR in items) == bool(category)
    assert seen or of == source
