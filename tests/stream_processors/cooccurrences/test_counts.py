"""Changes to rows in a store, across crashes between any two groups."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.affinities import weighted
from contracts.changes import Blocks, Changes, TakenOut, UnknownVersionError, encode_changes
from contracts.keyspace import INCARNATION_FIELD, LINEAGE_FIELD
from contracts.log_position import mark
from contracts.pairs import are_in_row
from contracts.topics import COOCCURRENCES, INTERACTIONS
from stream_processors import metrics
from stream_processors.cooccurrences import counts as counts_module
from stream_processors.cooccurrences.applied import Applied, applied_of, fields_of
from stream_processors.cooccurrences.stored import texts_of
from stream_processors.decoding.changes import ChangesRecord
from stream_processors.partition.fold import Folds
from tests.examples import examples
from tests.oracles.gram import gram_of_histories, stored_once
from tests.stream_processors.folding import folds_of_changes
from tests.stream_processors.in_memory import (
    KEYSPACE,
    LINEAGE,
    InMemoryClaim,
    flush,
    groups_of,
    store_of,
)
from tests.stream_processors.records import batch_of
from tests.stream_processors.simulated_store import Hashes

N_ITEMS = 4
R = dict[int, float]
"""item -> affinity of a user who joins or leaves"""
What = Literal["comes", "leaves"]
Move = tuple[What, R]


def message(offset: int, what: What, r: R, *, lineage: int = LINEAGE) -> bytes:
    """The changes by a user who joins with all items at once, or leaves."""
    items, affinity = np.array([*r], np.int64), np.array([*r.values()])
    n = len(items)
    taken_out = [TakenOut(offset, items, affinity, items, affinity)] if what == "leaves" else []
    own = Blocks.none()
    if what == "comes":
        own = Blocks(
            np.full(n, offset),
            items,
            np.full(n, n),
            np.tile(items, n),
            np.outer(affinity, affinity).ravel(),
        )
        own = own.entries_where(are_in_row(np.repeat(own.item, own.rows), own.other))
    return encode_changes(Changes(0, 0, lineage, own, Blocks.none(), taken_out))


def fold_of(
    data: Hashes, sources: dict[int, Applied] | None = None
) -> tuple[Folds[list[ChangesRecord]], InMemoryClaim]:
    claim = InMemoryClaim(data, COOCCURRENCES, position=fields_of(sources or {}))
    return folds_of_changes(claim.as_claim(), store_of(data)), claim


def counts_in(data: Hashes) -> dict[tuple[int, int], float]:
    return {
        (i, int(j)): float(count)
        for i in range(N_ITEMS)
        for j, count in data.get(KEYSPACE.cooc(0, i), {}).items()
        if j != "off"
    }


def listed(data: Hashes) -> set[str]:
    return set(data.get(KEYSPACE.items(0), {}))


def bare_rows(data: Hashes) -> list[int]:
    return [i for i in range(N_ITEMS) if [*data.get(KEYSPACE.cooc(0, i), {})] == ["off"]]


rs = st.dictionaries(
    st.integers(0, N_ITEMS - 1), st.sampled_from([1.0, 2.0, 0.1, 1e60]), min_size=1, max_size=3
)


@st.composite
def moves(draw: st.DrawFn) -> list[Move]:
    """Users join and leave, in valid order."""
    here: list[R] = []
    log: list[Move] = []
    for _ in range(draw(st.integers(1, 12))):
        if here and draw(st.booleans()):
            log.append(("leaves", here.pop(draw(st.integers(0, len(here) - 1)))))
        else:
            here.append(draw(rs))
            log.append(("comes", here[-1]))
    return log


def gram(log: Sequence[Move]) -> dict[tuple[int, int], float]:
    here: list[R] = []
    for what, r in log:
        if what == "comes":
            here.append(r)
        else:
            here.remove(r)
    return stored_once(gram_of_histories(here))


flushes = st.lists(st.tuples(st.integers(0, 4), st.none() | st.integers(0, 3)), max_size=8)
"""After how many more messages, and how many groups are written before a crash, if any."""


A_USER: R = {0: 1.0, 1: 1.0}


@example(  # the rows are deleted, and the worker ends before it has written the position
    log=[("comes", A_USER), ("leaves", A_USER)], flushes=[(1, None), (1, 3)], cached=0
)
@example(log=[("comes", A_USER), ("leaves", A_USER)], flushes=[(2, 3)], cached=0)
@examples(300)
@given(log=moves(), flushes=flushes, cached=st.sampled_from([0, 2, 1_000]))
async def test_rows_are_the_gram_matrix_wherever_a_flush_is_interrupted(
    log: list[Move], flushes: list[tuple[int, int | None]], cached: int
) -> None:
    data: Hashes = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counts_module, "_COUNTS_CACHED", cached)
        patch.setattr(counts_module, "_CHANGES_AT_ONCE", 2)
        sources = await folded_in_flushes(log, data, [*flushes, (len(log), None)])
    expected, found = gram(log), counts_in(data)
    assert sources == {0: Applied(mark(0, len(log) - 1), LINEAGE)}
    if all(r_i in (1.0, 2.0) for _, r in log for r_i in r.values()):
        assert found == expected
        assert listed(data) == {str(i) for i, _ in expected}
    # A leaving affinity rounded away much smaller ones.
    greatest = max((r_i for _, r in log for r_i in r.values()), default=0.0)
    for pair in found.keys() | expected.keys():
        close = pytest.approx(expected.get(pair, 0.0), rel=1e-9, abs=1e-12 * greatest**2)
        assert found.get(pair, 0.0) == close


async def folded_in_flushes(
    log: list[Move], data: Hashes, flushes: list[tuple[int, int | None]]
) -> dict[int, Applied]:
    """Fold the log; return the highest source offsets stored with the final position."""
    position, sources, at = 0, dict[int, Applied](), 0
    fold, claim = fold_of(data)
    for more, groups in flushes:
        values = [(n, message(n, *log[n])) for n in range(at, min(at + more, len(log)))]
        assert await fold.take(batch_of(COOCCURRENCES.name, 0, values, start=at)) == []
        at += len(values)
        unwritten = await fold.unwritten()
        claim.write(await groups_of(unwritten), groups)
        if groups is None:
            fold.written()
            position, sources = at, applied_of(unwritten.fields)
        else:
            fold, claim = fold_of(data, sources)
            at = position
    return sources


TODAY_MS = 1_790_000_000_000


@pytest.mark.parametrize("half_life_days", [14.0, 60.0])
async def test_pairs_that_only_one_user_had_are_gone_with_the_user(half_life_days: float) -> None:
    """Today an affinity is 2^40 or 2^170: a rounding error is a large number."""
    rule = weighted(half_life_days)
    rng = np.random.default_rng(7)
    log: list[Move] = []
    one = {0: 0.0, 1: 0.0}
    for number in range(200):
        ts_ms = TODAY_MS + number * 3_600_000
        other = {item: rule(0.0, int(rng.integers(4)), ts_ms) for item in (1, 2)}
        log.append(("comes", other))
        if number:
            log.append(("leaves", dict(one)))
        one = {item: rule(r, int(rng.integers(4)), ts_ms) for item, r in one.items()}
        log.append(("comes", dict(one)))
    log.append(("leaves", dict(one)))
    data: Hashes = {}
    fold, claim = fold_of(data)
    for at in range(0, len(log), 50):
        values = [(n, message(n, *log[n])) for n in range(at, min(at + 50, len(log)))]
        await fold.take(batch_of(COOCCURRENCES.name, 0, values))
        await flush(fold, claim)
    assert counts_in(data) == pytest.approx(gram(log), rel=1e-9)
    assert counts_in(data).keys() == {(1, 1), (2, 1), (2, 2)}
    assert listed(data) == {"1", "2"}


async def test_a_row_that_became_empty_is_deleted_once_the_position_has_passed() -> None:
    data: Hashes = {}
    fold, claim = fold_of(data)
    for step, (values, bare) in enumerate(
        [
            ([message(0, "comes", {0: 1.0, 1: 1.0}), message(1, "comes", {2: 1.0})], []),
            ([message(2, "leaves", {0: 1.0, 1: 1.0})], [0, 1]),
            ([message(3, "comes", {2: 1.0, 1: 1.0})], []),
        ]
    ):
        offsets = enumerate(values, start=10 * step)
        await fold.take(batch_of(COOCCURRENCES.name, 0, offsets))
        await flush(fold, claim)
        assert bare_rows(data) == bare
    assert not data[KEYSPACE.cooc(0, 0)]
    assert counts_in(data) == {(1, 1): 1.0, (2, 1): 1.0, (2, 2): 2.0}
    assert listed(data) == {"1", "2"}


async def test_records_without_changes_are_rejected_with_a_reason() -> None:
    fold, _ = fold_of({})
    values = [(0, b"no changes"), (1, message(0, "comes", {0: 1.0})), (2, None)]
    rejections = await fold.take(batch_of(COOCCURRENCES.name, 0, values))
    assert [place for place, _ in rejections] == [0, 2]
    assert rejections[1].reason == "the record has no value"


async def test_a_message_of_another_version_stops_the_worker() -> None:
    fold, _ = fold_of({})
    with pytest.raises(UnknownVersionError, match="reads only version 1"):
        await fold.take(batch_of(COOCCURRENCES.name, 0, [(0, b"\x81\xa7version\x63")]))


async def test_a_foreign_lineage_is_looked_up_once_and_does_not_count() -> None:
    data: Hashes = {}
    asked: list[int] = []
    claim = InMemoryClaim(data, COOCCURRENCES)
    fold = folds_of_changes(claim.as_claim(), store_of(data, asked.append))
    values = [(n, message(n, "comes", {0: 1.0}, lineage=LINEAGE + n % 2)) for n in range(6)]
    assert await fold.take(batch_of(COOCCURRENCES.name, 0, values)) == []
    await flush(fold, claim)
    assert counts_in(data) == {(0, 0): 3.0}
    assert asked == [0, 0]


async def test_when_histories_are_rebuilt_the_former_ones_no_longer_count() -> None:
    data: Hashes = {}
    fold, claim = fold_of(data)
    await fold.take(batch_of(COOCCURRENCES.name, 0, [(0, message(0, "comes", {0: 1.0}))]))
    data[KEYSPACE.position(INTERACTIONS, 0)] = {LINEAGE_FIELD: str(LINEAGE + 1)}
    values = [
        (1, message(1, "comes", {1: 1.0}, lineage=LINEAGE + 1)),
        (2, message(2, "comes", {2: 1.0}, lineage=LINEAGE)),
    ]
    await fold.take(batch_of(COOCCURRENCES.name, 0, values))
    await flush(fold, claim)
    assert counts_in(data) == {(0, 0): 1.0, (1, 1): 1.0}


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
    values = [(n, message(40 + n, "comes", {0: 1.0})) for n in range(20)]
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
    await fold.take(batch_of(COOCCURRENCES.name, 0, [(0, message(0, "comes", {0: 1.0, 1: 1.0}))]))
    assert fold.is_full
    await flush(fold, claim)
    assert not fold.is_full


@pytest.mark.parametrize(
    ("counts", "texts"),
    [
        ([], []),
        ([0.0, 3.0, 9_999.0], ["0", "3", "9999"]),
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
