"""A fold by user, added as CONTRIBUTING says: how many events each has, and when the last was."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.keyspace import ERASED_FIELD, OFFSET_FIELD, Keyspace
from contracts.log_position import NOTHING, mark, mark_of
from contracts.partitioning import user_partition
from contracts.tombstones import NEVER_MS
from contracts.topics import COOCCURRENCES, INTERACTIONS
from operations.counts.rebuild import keys_of
from runtime.redis.stores import Store
from stream_processors.agents import FOLDS
from stream_processors.decoding.interactions import UserEvents
from stream_processors.erasure import Erasure, value_commands
from stream_processors.partition.fold import Fold
from stream_processors.settings import Settings
from stream_processors.store.chunks import Group, Unwritten, command
from stream_processors.store.claims import Claim
from tests.chaos.truth import histories
from tests.chaos.truth.expected import Name, Run
from tests.examples import examples
from tests.stream_processors.folding import KEYSPACE
from tests.stream_processors.simulation import Plan, plans
from tests.stream_processors.test_folds import RECORDS, Logged, wrong_values

pytestmark = pytest.mark.usefixtures("in_small_steps")

TOPICS: Final = (INTERACTIONS, COOCCURRENCES)
TRUTH: Final = "tests.chaos.truth.visits"


def visits(keyspace: Keyspace, partition: int, user_id: str) -> str:
    """Hash of a user: `n` events, the last one at `t`. Written by visits; read by people."""
    return f"{keyspace.namespace}:visits:{{{INTERACTIONS.letter}{partition}}}:{user_id}"


@dataclass(slots=True)
class Visits:
    """Of one user."""

    mark: int = NOTHING
    erased_before_ms: int = NEVER_MS
    n: int = 0
    ts_ms: int = -1

    @property
    def is_bare(self) -> bool:
        return not self.n

    def last_ts_ms(self) -> int:
        return self.ts_ms


class VisitsFold(Fold[UserEvents]):
    """Counts the events of each user."""

    records_at_once = 3
    is_full = False

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._erasure = Erasure(claim, partial(visits, claim.keyspace))
        self._changed: dict[str, Visits] = {}

    @property
    def is_due(self) -> bool:
        return bool(self._erasure.bare)

    async def take(self, records: UserEvents) -> None:
        users = {user for _, user, *_ in records.events} - self._changed.keys()
        fields = command("HMGET", [OFFSET_FIELD, ERASED_FIELD, "n", "t"])
        answers = await self._claim.read(Group(self._erasure.key(user), fields) for user in users)
        found = {
            user: Visits(mark_of(offset), int(erased or NEVER_MS), int(n or 0), int(t or -1))
            for user, (offset, erased, n, t) in zip(users, answers, strict=True)
        }
        await self._erasure.look_up(found)
        found |= self._changed
        marks = mark(self._claim.incarnation, records.offsets).tolist()
        for place, user, _, _, ts_ms, _ in records.events:
            its, tombstone = found[user], records.tombstones.get(place)
            if self._erasure.admits(user, its, marks[place], ts_ms, tombstone):
                self._changed[user] = its
                its.n = 0 if tombstone else its.n + 1
                its.ts_ms = -1 if tombstone else max(its.ts_ms, ts_ms)

    async def unwritten(self) -> Unwritten:
        return Unwritten([*self._groups(), *self._erasure.groups(self._changed)])

    def _groups(self) -> Iterator[Group]:
        for user, its in self._changed.items():
            fields = [] if its.is_bare else ["n", str(its.n), "t", str(its.ts_ms)]
            commands = command("UNLINK", []) + value_commands(its, fields)
            yield Group(self._erasure.key(user), commands)

    def written(self) -> None:
        self._erasure.written(self._changed)
        self._changed = {}


def expected(run: Run) -> Iterator[tuple[Name, Any]]:
    key = partial(visits, run.keyspace)
    yield from histories.marks(run, key)
    for user_id, user in histories.users_of(run).of_id.items():
        name = key(user_partition(user_id, run.topology.interactions), user_id)
        yield (name, "n"), len(user.events)
        yield (name, "t"), user.last_ts_ms


@pytest.fixture(autouse=True, scope="module")
def _added() -> Iterator[None]:
    topic = FOLDS[INTERACTIONS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Keyspace, "visits", visits, raising=False)
        folds = [*topic.folds, lambda claim, _: VisitsFold(claim)]
        patch.setitem(cast("Any", FOLDS), INTERACTIONS, replace(topic, folds=folds))
        patch.setitem(sys.modules, TRUTH, cast("Any", SimpleNamespace(expected=expected)))
        yield


@examples(300)
@given(log=st.lists(RECORDS[TOPICS], min_size=1, max_size=20), plan=plans)
def test_each_event_counts_once_however_workers_end(log: Sequence[Logged], plan: Plan) -> None:
    assert wrong_values(TOPICS, log, plan, Settings()) == []


def test_its_keys_are_a_rebuilds_to_delete() -> None:
    ours, position = visits(KEYSPACE, 0, "A"), KEYSPACE.position(INTERACTIONS, 0)
    others = [position, KEYSPACE.erased(0), KEYSPACE.items(0), KEYSPACE.model_user("g", "{i0}")]
    store = SimpleNamespace(scan_iter=lambda *_, **__: [*others, ours])
    assert list(keys_of(cast("Store", store), KEYSPACE, INTERACTIONS)) == [ours]
