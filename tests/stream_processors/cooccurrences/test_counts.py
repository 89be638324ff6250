"""Changes to rows in a store, across crashes between any two groups."""

import asyncio
import dataclasses
from collections import Counter
from typing import Literal

import numpy as np
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from contracts.changes import Blocks, Changes, TakenOut, UnknownVersionError, encode_changes
from contracts.keyspace import HOLDERS_FIELD, INCARNATION_FIELD, LINEAGE_FIELD, NOT_ITEMS
from contracts.log_position import mark
from contracts.partitioning import are_in_row
from contracts.topics import COOCCURRENCES, INTERACTIONS
from stream_processors import metrics
from stream_processors.cooccurrences import counts as counts_module
from stream_processors.cooccurrences import stored as stored_module
from stream_processors.cooccurrences import table as table_module
from stream_processors.cooccurrences.applied import Applied, applied_of, fields_of
from stream_processors.cooccurrences.stored import texts_of
from stream_processors.decoding.changes import ChangesRecord
from stream_processors.partition.fold import Folds
from tests.examples import examples
from tests.oracles.gram import gram_of_histories, stored_once
from tests.stream_processors.folding import (
    KEYSPACE,
    LINEAGE,
    InMemoryClaim,
    batch_of,
    flush,
    folds_of_changes,
    groups_of,
    store_of,
)
from tests.stream_processors.simulated_store import Hashes

N_ITEMS = 4
R = dict[int, float]
"""item -> affinity of a user who joins or leaves"""
What = Literal["comes", "leaves"]
Move = tuple[What, R]


def message(
    first: int,
    *moves: Move,
    lineage: int = LINEAGE,
    source: int = 0,
    counts_holders: bool = False,
) -> bytes:
    """The changes by users who join with all items at once, or leave, one an offset."""
    own, mirrored, taken_out = list[Blocks](), list[Blocks](), list[TakenOut]()
    for offset, (what, r) in enumerate(moves, first):
        items, affinity = np.array([*r], np.int64), np.array([*r.values()])
        if what == "leaves":
            taken_out.append(TakenOut(offset, items, affinity, items, affinity))
            continue
        n = len(items)
        item, other = np.repeat(items, n), np.tile(items, n)
        ones, products = np.ones(n, np.int64), np.outer(affinity, affinity).ravel()
        holders = ones if counts_holders else None
        whole = Blocks(offset * ones, items, n * ones, other, products, holders)
        # Of each pair that belongs in the row of an odd item, the column is that of the other one.
        is_own = are_in_row(item, other)
        own.append(whole.entries_where(is_own & ((item % 2 == 0) | (item == other))))
        rest = whole.entries_where(~is_own & (other % 2 == 1))
        mirrored.append(dataclasses.replace(rest, holders=None))
    return encode_changes(Changes(source, 0, lineage, joined(own), joined(mirrored), taken_out))


def joined(each: list[Blocks]) -> Blocks:
    if not each:
        return Blocks.none()
    columns = [[getattr(one, field.name) for one in each] for field in dataclasses.fields(Blocks)]
    return Blocks(*(None if its[0] is None else np.concatenate(its) for its in columns))  # type: ignore[arg-type]


def fold_of(
    data: Hashes, sources: dict[int, Applied] | None = None
) -> tuple[Folds[list[ChangesRecord]], InMemoryClaim]:
    claim = InMemoryClaim(data, COOCCURRENCES, position=fields_of(sources or {}))
    return folds_of_changes(claim.as_claim(), store_of(data)), claim


def rows_in(data: Hashes) -> dict[int, dict[str, str]]:
    return {i: data.get(KEYSPACE.cooc(0, i), {}) for i in range(N_ITEMS)}


def counts_in(data: Hashes, n_items: int = N_ITEMS) -> dict[tuple[int, int], float]:
    return {
        (i, int(j)): float(count)
        for i in range(n_items)
        for j, count in data.get(KEYSPACE.cooc(0, i), {}).items()
        if j not in NOT_ITEMS
    }


def listed(data: Hashes) -> set[str]:
    return set(data.get(KEYSPACE.items(0), {}))


rs = st.dictionaries(
    st.integers(0, N_ITEMS - 1),
    st.sampled_from([1.0, 2.0, 2.0**16, 0.1, 1e60]),
    min_size=1,
    max_size=3,
)
SOURCES = (0, 1)


class Rows(RuleBasedStateMachine):
    """Users join and leave, and their changes are published, folded, flushed or lost.

    A restarted publisher repeats its latest changes. A crash loses memory; the log is read from the
    position on, and the store has any first groups of the flush before.
    """

    @initialize(
        cached=st.sampled_from([0, 2, 1_000]),
        users=st.lists(st.tuples(st.sampled_from(SOURCES), rs), min_size=1, max_size=6),
        counts_holders=st.booleans(),
    )
    def begin(self, cached: int, users: list[tuple[int, R]], *, counts_holders: bool) -> None:
        self.patch = pytest.MonkeyPatch()
        for module, name, bound in (
            (counts_module, "_COUNTS_CACHED", cached),
            (counts_module, "_CHANGES_AT_ONCE", 2),
            (counts_module, "_ROWS_SUMMED", 4),
            (counts_module, "_COUNTS_UNWRITTEN", 6),
            (stored_module, "_COUNTS_AT_ONCE", 2),
            (table_module, "_ITEMS_AT_MOST", 2),
        ):
            self.patch.setattr(module, name, bound)
        self.counts_holders = counts_holders
        self.moves: dict[int, list[Move]] = {source: [] for source in SOURCES}
        self.published = dict.fromkeys(SOURCES, 0)
        self.here: list[tuple[int, R]] = []
        self.log: list[bytes] = []
        self.data: Hashes = {}
        self.position, self.sources = 0, dict[int, Applied]()
        self.start()
        for source, r in users:
            self.join(source, r)

    def start(self) -> None:
        self.fold, self.claim = fold_of(self.data, self.sources)
        self.at = self.position

    @rule(source=st.sampled_from(SOURCES), r=rs)
    def join(self, source: int, r: R) -> None:
        self.here.append((source, r))
        self.moves[source].append(("comes", r))

    @precondition(lambda self: self.here)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        source, r = self.here.pop(data.draw(st.integers(0, len(self.here) - 1)))
        self.moves[source].append(("leaves", r))

    @rule(source=st.sampled_from(SOURCES), again=st.integers(0, 3))
    def publish(self, source: int, again: int) -> None:
        """Publish the changes since the last message, and some before as after a restart."""
        first = max(0, self.published[source] - again)
        self.published[source] = len(self.moves[source])
        if moves := self.moves[source][first:]:
            its = {"source": source, "counts_holders": self.counts_holders}
            self.log.append(message(first, *moves, **its))  # type: ignore[arg-type]

    @rule(n=st.integers(1, 5))
    def take(self, n: int) -> None:
        for source in SOURCES:
            self.publish(source, 0)
        values = [*enumerate(self.log)][self.at : self.at + n]
        batch = batch_of(COOCCURRENCES.name, 0, values, start=self.at)
        assert asyncio.run(self.fold.take(batch)) == []
        self.at += len(values)

    @rule()
    def flush(self) -> None:
        unwritten = asyncio.run(flush(self.fold, self.claim))
        self.position, self.sources = self.at, applied_of(unwritten.fields)

    @rule(n=st.integers(0, 3))
    def lose_a_flush(self, n: int) -> None:
        unwritten = asyncio.run(self.fold.unwritten())
        self.claim.write(asyncio.run(groups_of(unwritten)), n)
        self.start()

    def teardown(self) -> None:
        if not hasattr(self, "log"):
            return
        self.take(len(self.log) + 2)
        self.flush()
        self.patch.undo()
        expected, found = (
            stored_once(gram_of_histories([r for _, r in self.here])),
            counts_in(self.data),
        )
        assert self.sources == {
            source: Applied(mark(0, len(its) - 1), LINEAGE)
            for source, its in self.moves.items()
            if its
        }
        every = [r_i for its in self.moves.values() for _, r in its for r_i in r.values()]
        if is_exact := all(r_i in (1.0, 2.0, 2.0**16) for r_i in every):
            assert found == expected
        if is_exact or self.counts_holders:
            assert {pair for pair in found if len({*pair}) == 1} == {(i, i) for i, _ in expected}
            assert listed(self.data) == {str(i) for i, _ in expected}
        # A leaving affinity rounded away much smaller ones.
        greatest = max(every, default=0.0)
        for pair in found.keys() | expected.keys():
            close = pytest.approx(expected.get(pair, 0.0), rel=1e-9, abs=1e-12 * greatest**2)
            assert found.get(pair, 0.0) == close
        if self.counts_holders:
            n_users = Counter(item for _, r in self.here for item in r)
            holders = {i: int(row.get(HOLDERS_FIELD, 0)) for i, row in rows_in(self.data).items()}
            assert holders == {i: n_users[i] for i in range(N_ITEMS)}


TestRows = Rows.TestCase
TestRows.settings = examples(300, stateful_step_count=25)


async def test_a_row_that_became_empty_is_deleted_once_the_position_has_passed() -> None:
    data: Hashes = {}
    fold, claim = fold_of(data)
    for step, (values, bare) in enumerate(
        [
            ([message(0, ("comes", {0: 1.0, 1: 1.0})), message(1, ("comes", {2: 1.0}))], []),
            ([message(2, ("leaves", {0: 1.0, 1: 1.0}))], [0, 1]),
            ([message(3, ("comes", {2: 1.0, 1: 1.0}))], []),
        ]
    ):
        offsets = enumerate(values, start=10 * step)
        await fold.take(batch_of(COOCCURRENCES.name, 0, offsets))
        await flush(fold, claim)
        assert [i for i, row in rows_in(data).items() if [*row] == ["off"]] == bare
    assert not data[KEYSPACE.cooc(0, 0)]
    assert counts_in(data) == {(1, 1): 1.0, (2, 1): 1.0, (2, 2): 2.0}
    assert listed(data) == {"1", "2"}


async def test_records_without_changes_are_rejected_but_another_version_stops_the_worker() -> None:
    fold, _ = fold_of({})
    values = [(0, b"no changes"), (1, message(0, ("comes", {0: 1.0}))), (2, None)]
    rejections = await fold.take(batch_of(COOCCURRENCES.name, 0, values))
    assert [place for place, _ in rejections] == [0, 2]
    assert rejections[1].reason == "the record has no value"
    with pytest.raises(UnknownVersionError, match="reads only version 1"):
        await fold.take(batch_of(COOCCURRENCES.name, 0, [(3, b"\x81\xa7version\x63")]))


async def test_changes_of_other_histories_do_not_count_and_are_looked_up_once() -> None:
    data: Hashes = {}
    asked: list[int] = []
    claim = InMemoryClaim(data, COOCCURRENCES)
    fold = folds_of_changes(claim.as_claim(), store_of(data, asked.append))
    values = [(n, message(n, ("comes", {0: 1.0}), lineage=LINEAGE + n % 2)) for n in range(6)]
    assert await fold.take(batch_of(COOCCURRENCES.name, 0, values)) == []
    assert asked == [0, 0]
    # Histories are rebuilt: the former ones no longer count.
    data[KEYSPACE.position(INTERACTIONS, 0)] = {LINEAGE_FIELD: str(LINEAGE + 2)}
    values = [(n, message(n, ("comes", {n: 1.0}), lineage=LINEAGE + n % 3)) for n in (8, 9)]
    await fold.take(batch_of(COOCCURRENCES.name, 0, values))
    await flush(fold, claim)
    assert counts_in(data, 10) == {(0, 0): 3.0, (8, 8): 1.0}


@pytest.mark.parametrize(
    ("applied", "incarnation", "lost"),
    [
        (Applied(mark(1, 50), LINEAGE - 1), 0, True),
        (Applied(mark(0, 50), LINEAGE - 1), 1, True),
        (Applied(mark(1, 50), LINEAGE), 1, False),
    ],
)
async def test_lost_histories_count_again_from_where_their_log_was_applied(
    applied: Applied, incarnation: int, *, lost: bool
) -> None:
    position = {LINEAGE_FIELD: str(LINEAGE), INCARNATION_FIELD: str(incarnation)}
    data: Hashes = {KEYSPACE.position(INTERACTIONS, 0): position}
    fold, claim = fold_of(data, {0: applied})
    # Of the log's first incarnation: from lost histories, or published late by a replaced worker.
    values = [(n, message(40 + n, ("comes", {0: 1.0}))) for n in range(20)]
    before = metrics.REPLAYED_CHANGES._value.get()
    with structlog.testing.capture_logs() as logged:
        assert await fold.take(batch_of(COOCCURRENCES.name, 0, values)) == []
    unwritten = await fold.unwritten()
    claim.write(await groups_of(unwritten))
    n = 9 if lost else 0
    assert counts_in(data).get((0, 0), 0.0) == n
    assert metrics.REPLAYED_CHANGES._value.get() - before == 20 - n
    assert applied_of(unwritten.fields) == {
        0: Applied(mark(0, 59) if lost else mark(1, 50), LINEAGE)
    }
    assert [line["left_out_up_to"] for line in logged] == ["[0,50]"] * lost


async def test_a_fold_is_full_when_many_counts_are_unwritten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(counts_module, "_ROWS_SUMMED", 1)
    monkeypatch.setattr(counts_module, "_COUNTS_UNWRITTEN", 3)
    fold, claim = fold_of({})
    assert not fold.is_full
    await fold.take(batch_of(COOCCURRENCES.name, 0, [(0, message(0, ("comes", {0: 1.0, 1: 1.0})))]))
    assert fold.is_full
    await flush(fold, claim)
    assert not fold.is_full


@pytest.mark.parametrize(
    ("counts", "texts"),
    [
        ([], []),
        ([3.0, 10_000.0, -1.0], ["3", "10000", "-1"]),
        ([3.0, 0.5], ["3.0", "0.5"]),
        ([2.0**52], ["4503599627370496"]),
        ([2.0**70, 1.0], ["1.1805916207174113e+21", "1.0"]),
        ([-(2.0**200)], ["-1.6069380442589903e+60"]),
    ],
)
def test_counts_are_readable_to_people_and_as_floats(counts: list[float], texts: list[str]) -> None:
    assert texts_of(np.array(counts, np.float64)) == texts
    assert list(map(float, texts)) == counts


@given(st.lists(st.floats(0) | st.floats(1e-6, 1e-3) | st.floats(1e14, 1e18), max_size=20))
def test_counts_that_are_not_whole_are_written_as_python_does(counts: list[float]) -> None:
    assert texts_of(np.array([0.5, *counts])) == list(map(str, [0.5, *counts]))
