"""The caches of a process are no larger than it accounts for."""

import gc
import tracemalloc
import weakref

from redis import Redis

from api.http.keys.access import Access, Key, digest_of
from api.recommendations.choosing import Wish

from .all_but import AllBut
from .conftest import Filled
from .reading import Reader


def test_a_kept_answer_holds_no_version_of_the_catalog(
    store_url: str, filled: Filled, raw: Redis
) -> None:
    filled.generation("one", {"4": [("5", 0.5, 1.0)]}, popular=[("7", 1.0)])
    filled.history("ABC", {"4": (1, 1)}, off=1)
    reader = Reader(store_url, filled, raw)

    shown = AllBut({6})
    still_there = weakref.ref(shown)
    wish = Wish(10, frozenset(), include_seen=False, catalog_version=1, shown=shown)
    made = reader.run(reader.recommendations("ABC", wish))[1]
    del wish, shown
    gc.collect()
    assert still_there() is None
    again = Wish(10, frozenset(), include_seen=False, catalog_version=1, shown=AllBut({6}))
    assert reader.run(reader.recommendations("ABC", again))[1] is made
    newer = Wish(10, frozenset(), include_seen=False, catalog_version=2, shown=AllBut({5, 7}))
    assert reader.run(reader.recommendations("ABC", newer))[1].items == []


def test_long_headers_with_a_valid_key_are_not_kept() -> None:
    key = Key("reader", frozenset(("read",)))
    access = Access({digest_of(b"text"): key})
    tracemalloc.start()
    try:
        for spaces in range(60_000, 60_200):
            header = (b"authorization", b"Bearer" + b" " * spaces + b"text")
            assert access.key([header]) is key
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 1_000_000
