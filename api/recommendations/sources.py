"""Chooses for a user from one source after the other: the reads that this takes."""

from typing import Final, cast

import msgspec
from msgspec.structs import replace

from api.generations.pointer import ExpiredError, Generation, Generations
from api.http.metrics import Metrics
from api.instruments.popular import PopularItems
from api.recommendations.choosing import (
    Chosen,
    Wish,
    folded_items,
    from_catalog,
    from_history,
    from_own_list,
    from_popular,
    from_repeats,
)
from api.recommendations.fold import Row
from api.recommendations.lists import GenerationLists, Lists
from api.redis.reading import Read
from api.users.history import Histories, StoredHistory
from contracts.generations import UserList
from contracts.keyspace import Keyspace
from contracts.log_position import parse_log_position

LISTS_AT_ONCE: Final = 64
"""Per round: each has 14 kB, and other requests run in between."""

_user = msgspec.json.Decoder(UserList)


class Sources:
    """The sources of one namespace.

    The first one that has any, and where it has fewer than requested, the next ones: the user's own
    list if it was made from the current history, the history folded into the items' lists, popular
    items. Before these come items that the user has, as many as are wished for.
    """

    def __init__(
        self, keys: Keyspace, generations: Generations, popular: PopularItems, metrics: Metrics
    ) -> None:
        self._keys = keys
        self._generations = generations
        self._popular = popular
        self._lists = Lists()
        self._rows = metrics.lists

    def for_user(
        self, generation: Generation, stored: StoredHistory, own: bytes | None, wish: Wish
    ) -> Read[Chosen | None]:
        """Choose for a user, given the own list as stored; None if the generation has nothing.

        Raises:
            ExpiredError: the generation may have had lists that are gone.
        """
        if wish.repeats and stored.offset is not None:
            lists, rows = yield from self._rows_of(generation, stored.items)
            fold_in = generation.served.fold_in
            items = from_repeats(stored.items, rows, lists, wish, fold_in)
            rest = replace(wish.after(items), repeats=0)
            others = (yield from self.for_user(generation, stored, own, rest)) if rest.n else None
            if not items:
                return others
            repeated = Chosen("repeat", generation.served.model, items)
            return repeated.and_then(others.source, others.items) if others else repeated
        chosen = _own(own, stored, wish)
        if chosen is not None and len(chosen.items) == wish.n:
            return chosen  # and the history need not be parsed
        if chosen is None and stored.offset is not None:
            chosen = yield from self._folded_in(generation, stored.items, wish)
        return (yield from self._continued(generation, stored.items, wish, chosen))

    def for_items(
        self, generation: Generation, items: Histories, wish: Wish
    ) -> Read[Chosen | None]:
        """Choose for items as if they were a history; None if the generation has nothing.

        Raises:
            ExpiredError: as `for_user`.
        """
        chosen = yield from self._folded_in(generation, items, wish)
        return (yield from self._continued(generation, items, wish, chosen))

    def _continued(
        self, generation: Generation, history: Histories, wish: Wish, chosen: Chosen | None
    ) -> Read[Chosen | None]:
        """Return what was chosen and, if that is too little, what the next sources add to it.

        The rest of the catalog only follows where a filter is requested. None if the lists are
        gone.
        """
        if chosen is not None and chosen.source == "model" and len(chosen.items) < wish.n:
            folded = yield from self._folded_in(generation, history, wish.after(chosen.items))
            if folded is not None:
                chosen = chosen.and_then("history", folded.items)
        if chosen is not None and len(chosen.items) == wish.n:
            return chosen
        popular = yield from self._popular.of(generation)
        if popular is None:
            return chosen
        if chosen is None:
            chosen = from_popular(popular, history, wish)
        else:
            rest = from_popular(popular, history, wish.after(chosen.items))
            chosen = chosen.and_then("popular", rest.items)
        if wish.is_filtered:
            rest_of_all = from_catalog(history, wish.after(chosen.items))
            chosen = chosen.and_then("catalog", rest_of_all)
        return chosen

    def _folded_in(
        self, generation: Generation, history: Histories, wish: Wish
    ) -> Read[Chosen | None]:
        """Choose from the current history; None if that gives nothing."""
        lists, rows = yield from self._rows_of(generation, history)
        items = from_history(history, rows, lists, wish, generation.served.fold_in)
        return Chosen("history", generation.served.model, items) if items else None

    def _rows_of(
        self, generation: Generation, history: Histories
    ) -> Read[tuple[GenerationLists, dict[int, Row]]]:
        """Return a generation's lists, and the row of each item that is folded in.

        That of an item without a list is empty.

        Raises:
            ExpiredError: a list is missing, and the generation is no longer served: it may have
                expired.
        """
        lists = self._lists.of(generation.name, self._generations.live)
        found = {item: lists.row(item) for item in folded_items(history, generation.served.fold_in)}
        missing = [item for item, row in found.items() if row is None]
        self._rows.add(len(found) - len(missing), "kept")
        self._rows.add(len(missing), "read")
        absent: list[int] = []
        for start in range(0, len(missing), LISTS_AT_ONCE):
            some = missing[start : start + LISTS_AT_ONCE]
            keys = [self._keys.model_similar(generation.name, str(item)) for item in some]
            values = yield [("GET", key) for key in keys]
            absent += [item for item, value in zip(some, values, strict=True) if value is None]
            for item, value in zip(some, values, strict=True):
                if value is not None:
                    found[item] = _added(lists, item, value)
        if absent and not (yield from self._generations.is_live(generation)):
            raise ExpiredError
        for item in absent:
            found[item] = _added(lists, item, None)
        return lists, cast("dict[int, Row]", found)


def _added(lists: GenerationLists, item: int, value: bytes | None) -> Row:
    """Return the row of an item's list, which another answer may have added in between."""
    row = lists.row(item)
    return lists.add(item, value) if row is None else row


def _own(value: bytes | None, stored: StoredHistory, wish: Wish) -> Chosen | None:
    """Choose from the user's own list, if it exists, is up to date and has any items."""
    if value is None or stored.offset is None:
        return None
    own = _user.decode(value)
    if own.off != parse_log_position(stored.offset):
        return None
    # It leaves out what the user has, but knows nothing of rejected items.
    chosen = from_own_list(own, wish.without(stored.rejected))
    return chosen if chosen.items else None
