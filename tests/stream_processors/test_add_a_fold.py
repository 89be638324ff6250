"""A fold with a key of its own, added as CONTRIBUTING says: how many events have each weight."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.event_types import BUILT_IN
from contracts.keyspace import OFFSET_FIELD, Keyspace
from contracts.log_position import NOTHING, mark, mark_of, text_of
from contracts.topics import COOCCURRENCES, INTERACTIONS
from operations.counts.rebuild import keys_of
from runtime.redis.stores import Store
from stream_processors.agents import FOLDS
from stream_processors.decoding.interactions import UserEvents
from stream_processors.settings import Settings
from stream_processors.store.chunks import Group, Unwritten, command
from stream_processors.store.claims import Claim
from tests.chaos.truth.expected import Name, Run, expected_values
from tests.chaos.truth.messages import good
from tests.runtime.redis.guarded import rules
from tests.stream_processors.simulation import KEYSPACE, Plan, plans
from tests.stream_processors.test_folds import RECORDS, Logged, wrong_values

pytestmark = pytest.mark.usefixtures("in_small_steps")

TOPICS: Final = (INTERACTIONS, COOCCURRENCES)
TRUTH: Final = "tests.chaos.truth.weights"


def weights(keyspace: Keyspace, partition: int) -> str:
    """Hash: weight -> events with it; `off` -> last offset. Written by weights; read by people."""
    return f"{keyspace.namespace}:weights:{{{INTERACTIONS.letter}{partition}}}"


class WeightsFold:
    """Counts events of each weight, with the offset up to which they count."""

    records_at_once = 3
    is_full = False
    is_due = False

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._key = weights(claim.keyspace, claim.partition)
        self._n: Counter[str] = Counter()
        self._mark: int | None = None

    def begun(self) -> Unwritten:
        return Unwritten()

    async def take(self, records: UserEvents) -> None:
        if self._mark is None:
            (flat,) = await self._claim.read([Group(self._key, command("HGETALL", []))])
            stored = dict(zip(flat[::2], flat[1::2], strict=True))
            self._mark = mark_of(stored.pop(OFFSET_FIELD)) if stored else NOTHING
            self._n.update({weight: int(n) for weight, n in stored.items()})
        columns = records.columns
        marks = mark(self._claim.incarnation, records.offsets[columns.index])
        self._n.update(map(str, columns.weight[marks > self._mark].tolist()))
        self._mark = max(self._mark, *marks.tolist(), NOTHING)

    async def unwritten(self) -> Unwritten:
        if not self._n:
            return Unwritten()
        counts = [text for weight, n in self._n.items() for text in (weight, str(n))]
        offset = [OFFSET_FIELD, text_of(cast("int", self._mark))]
        return Unwritten([Group(self._key, command("HSET", [*offset, *counts]))])

    def written(self) -> None:
        pass


def expected(run: Run) -> Iterator[tuple[Name, Any]]:
    for p in range(run.topology.interactions):
        found = good(run.log.counted((INTERACTIONS.name, p)), INTERACTIONS)
        events = [
            (at, BUILT_IN[event.get("event", "trade")]) for at, event in found if "ts" in event
        ]
        for weight, n in Counter(weight for _, weight in events).items():
            yield (weights(run.keyspace, p), str(weight)), n
            yield (weights(run.keyspace, p), OFFSET_FIELD), list(events[-1][0])


@pytest.fixture(autouse=True, scope="module")
def _added() -> Iterator[None]:
    topic = FOLDS[INTERACTIONS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Keyspace, "weights", weights, raising=False)
        folds = [*topic.folds, lambda claim, _: WeightsFold(claim)]
        patch.setitem(cast("Any", FOLDS), INTERACTIONS, replace(topic, folds=folds))
        patch.setitem(sys.modules, TRUTH, cast("Any", SimpleNamespace(expected=expected)))
        yield


@given(log=st.lists(RECORDS[TOPICS], min_size=1, max_size=20), plan=plans)
def test_each_event_counts_once_next_to_the_other_folds_however_workers_end(
    log: Sequence[Logged], plan: Plan
) -> None:
    assert wrong_values(TOPICS, log, plan, Settings()) == []


def test_its_keys_are_workers_to_write_and_a_rebuilds_to_delete() -> None:
    ours, position = weights(KEYSPACE, 0), KEYSPACE.position(INTERACTIONS, 0)
    others = [position, KEYSPACE.erased(0), KEYSPACE.items(0), KEYSPACE.model_user("g", "{i0}")]
    store = SimpleNamespace(scan_iter=lambda *_, **__: [*others, ours])
    assert list(keys_of(cast("Store", store), KEYSPACE, INTERACTIONS)) == [ours]
    patterns = [part[1:] for part in rules()["worker"].split() if part.startswith("~")]
    assert any(
        fnmatchcase(weights(Keyspace("live"), 0), pattern.replace("[^", "[!"))
        for pattern in patterns
    )


def test_one_without_a_recomputation_is_told_where_it_belongs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, TRUTH)
    with pytest.raises(LookupError, match=r"fold weights must write: add tests/chaos/truth/wei"):
        expected_values(cast("Run", None))
