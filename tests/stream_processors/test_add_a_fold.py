"""A fold added as CONTRIBUTING says: the number of events of each type, in the position."""

from collections import Counter
from itertools import cycle

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from contracts.affinities import binary
from contracts.event_types import BUILT_IN
from contracts.messages import Interaction, encode
from contracts.partitioning import user_partition
from contracts.topics import INTERACTIONS
from runtime.topology import Topology
from stream_processors.decoding import interactions
from stream_processors.decoding.interactions import UserEvents
from stream_processors.histories.histories import HistoriesFold
from stream_processors.histories.rules import HistoryRules
from stream_processors.partition.fold import Folds
from stream_processors.store.chunks import Unwritten
from stream_processors.store.claims import Claim
from stream_processors.store.store import Store
from stream_processors.transport.producer import Producer
from tests.stream_processors.folding import decoding
from tests.stream_processors.simulation import KEYSPACE, Plan, World, plans, play, small_steps

TOPOLOGY = Topology(quotes=1, interactions=2, cooccurrences=1)
FIELD = "events_of_weights"


class EventWeightsFold:
    """Counts events of each weight, in a field of the position: so each event counts once."""

    records_at_once = 3
    is_full = False
    is_due = False

    def __init__(self, claim: Claim) -> None:
        stored = claim.position.get(FIELD, "{}")
        self._n = Counter(msgspec.json.decode(stored, type=dict[float, int]))

    def begun(self) -> Unwritten:
        return Unwritten()

    async def take(self, records: UserEvents) -> None:
        self._n.update(records.columns.weight.tolist())

    async def unwritten(self) -> Unwritten:
        return Unwritten(fields={FIELD: msgspec.json.encode(self._n).decode()})

    def written(self) -> None:
        pass


def folds(claim: Claim, _store: Store, producer: Producer) -> Folds[UserEvents]:
    histories = HistoriesFold(claim, producer, TOPOLOGY, HistoryRules(binary, 500))
    decode = decoding(interactions.decode, TOPOLOGY.interactions)
    return Folds(decode, [histories, EventWeightsFold(claim)])


events = st.builds(
    Interaction,
    user_id=st.sampled_from("ABCDE"),
    instrument_id=st.integers(0, 3),
    event=st.sampled_from(list(BUILT_IN)),
    ts=st.just(1_600_000_000_000),
)


@given(log=st.lists(events, min_size=1, max_size=20), plan=plans)
def test_each_event_counts_once_next_to_the_histories_however_workers_end(
    log: list[Interaction], plan: Plan
) -> None:
    world = World(sizes=cycle(plan.sizes), make={INTERACTIONS: folds})
    partition_of = {user: user_partition(user, TOPOLOGY.interactions) for user in "ABCDE"}
    expected: list[Counter[float]] = [Counter(), Counter()]
    for event in log:
        partition = partition_of[event.user_id]
        expected[partition][BUILT_IN[event.event]] += 1
        world.log_of(INTERACTIONS, partition, encode(event))
    # A record in the wrong partition is rejected: no fold gets it.
    wrong = log[0]
    world.log_of(INTERACTIONS, 1 - partition_of[wrong.user_id], encode(wrong))

    with small_steps():
        play(world, [(INTERACTIONS, 0), (INTERACTIONS, 1)], plan)

    for partition, its in enumerate(expected):
        text = world.data[KEYSPACE.position(INTERACTIONS, partition)].get(FIELD, "{}")
        stored = msgspec.json.decode(text, type=dict[float, int])
        assert stored == its
    assert len(world.headers) >= 1  # of dead letters, again after a crash
