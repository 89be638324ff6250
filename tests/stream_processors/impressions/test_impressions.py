"""Feedback to what users were shown without a click."""

from itertools import cycle

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from contracts.feedback import FEEDBACK_TYPES, Feedback, FeedbackType, encode_feedback
from contracts.impressions import ANSWERS_KEPT, KEPT_MS, Impressions
from contracts.keyspace import OFFSET_FIELD
from contracts.partitioning import user_partition
from contracts.topics import FEEDBACK
from stream_processors.decoding import feedback
from stream_processors.decoding.feedback import Reacted
from stream_processors.impressions import shown as shown_module
from stream_processors.impressions.impressions import ImpressionsFold
from stream_processors.partition.fold import Folds
from stream_processors.store.claims import Claim
from stream_processors.store.store import Store
from stream_processors.transport.producer import Producer
from tests.examples import examples
from tests.oracles.impressions import Counted, impressions_of
from tests.stream_processors.folding import decoding
from tests.stream_processors.in_memory import KEYSPACE, InMemoryClaim, flush
from tests.stream_processors.records import batch_of
from tests.stream_processors.simulated_store import Hashes
from tests.stream_processors.simulation import KEYSPACE as OF_WORLD
from tests.stream_processors.simulation import Disruption, Plan, World, plans, play, small_steps

NOW_MS = 1_700_000_000_000
PARTITIONS = 2
USER = "ABC"


def request_id(answer: int) -> str:
    return f"default.g1.history.AAA.{answer:06d}{'x' * 16}{'y' * 22}"


def message(
    kind: FeedbackType = "impression",
    answer: int = 0,
    item: int = 4,
    user: str = USER,
    ts_ms: int = NOW_MS,
) -> Feedback:
    return Feedback(
        type=kind,
        request_id=request_id(answer),
        user_id=user,
        instrument_id=item,
        position=1,
        ts=ts_ms,
    )


messages = st.builds(
    message,
    kind=st.sampled_from(FEEDBACK_TYPES),
    answer=st.integers(0, ANSWERS_KEPT - 1),
    item=st.integers(0, 2),
    user=st.sampled_from("ABCDE"),
    ts_ms=st.integers(NOW_MS - 5, NOW_MS),
)


def folds(claim: Claim, *_: Store | Producer) -> Folds[list[Reacted]]:
    decode = decoding(feedback.decode, PARTITIONS)
    return Folds(decode, [ImpressionsFold(claim, lambda: NOW_MS / 1000)])


def stored(fields: dict[str, str]) -> dict[int, Impressions]:
    return {
        int(item): msgspec.json.decode(value, type=Impressions)
        for item, value in fields.items()
        if item != OFFSET_FIELD
    }


@example(  # the worker ends between the user's values and the position
    log=[message()] * 8, plan=Plan([4], 0, [Disruption(28, 0, crash=True)]), repeats=False
)
@examples(200)
@given(log=st.lists(messages, min_size=1, max_size=20), plan=plans, repeats=st.booleans())
def test_each_message_counts_once_however_workers_end(
    log: list[Feedback], plan: Plan, *, repeats: bool
) -> None:
    if not repeats:  # then an item forgets its answers, and only offsets show what is folded
        log = [
            replace(one, request_id=request_id(at), instrument_id=0, user_id="A")
            for at, one in enumerate(log)
        ]
    world = World(sizes=cycle(plan.sizes), make={FEEDBACK: folds})
    for one in log:
        world.log_of(FEEDBACK, user_partition(one.user_id, PARTITIONS), encode_feedback(one))
    with small_steps():
        play(world, [(FEEDBACK, 0), (FEEDBACK, 1)], plan)
    found: Counted = {}
    for user in {one.user_id for one in log}:
        fields = world.data[OF_WORLD.impressions(user_partition(user, PARTITIONS), user)]
        found[user] = {item: (one.n, one.t) for item, one in stored(fields).items()}
    assert found == impressions_of(log)


class Folding:
    """The fold of a topic's only partition, whose flushes the test decides on."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.data: Hashes = {}
        self.claim = InMemoryClaim(self.data, FEEDBACK)
        fold = ImpressionsFold(self.claim.as_claim(), lambda: now_ms / 1000)
        self.folds = Folds(decoding(feedback.decode, 1), [fold])
        self.offset = 0

    async def fold(self, *log: Feedback) -> dict[int, Impressions]:
        """Fold and write some messages; return what Redis has of the user."""
        values = [(self.offset + n, encode_feedback(one)) for n, one in enumerate(log)]
        assert await self.folds.take(batch_of(FEEDBACK.name, 0, values)) == []
        self.offset += len(log)
        await flush(self.folds, self.claim)
        return stored(self.data.get(KEYSPACE.impressions(0, USER), {}))


async def test_what_was_sent_again_counts_once_while_the_items_last_answers_include_its_own() -> (
    None
):
    folding = Folding()
    shown = [message(answer=answer) for answer in range(ANSWERS_KEPT)]
    assert (await folding.fold(*shown))[4].n == ANSWERS_KEPT
    assert (await folding.fold(*shown))[4].n == ANSWERS_KEPT
    more = ANSWERS_KEPT + 1
    assert (await folding.fold(message(answer=ANSWERS_KEPT)))[4].n == more
    assert (await folding.fold(shown[-1]))[4].n == more
    assert (await folding.fold(shown[0]))[4].n == more + 1  # its answer is forgotten


async def test_a_click_sent_again_does_not_take_back_what_was_shown_since() -> None:
    folding = Folding()
    click = message("click")
    assert (await folding.fold(message(), click))[4].n == 0
    assert (await folding.fold(message(answer=1), click))[4].n == 1


async def test_an_impression_that_comes_after_the_click_on_it_does_not_count() -> None:
    assert (await Folding().fold(message("click"), message()))[4].n == 0


async def test_after_weeks_without_an_impression_counting_starts_again() -> None:
    early = [message(answer=answer, ts_ms=NOW_MS - KEPT_MS) for answer in range(3)]
    folding = Folding()
    assert (await folding.fold(*early))[4].n == 3
    later = message(answer=3, ts_ms=NOW_MS + 1)
    assert (await folding.fold(later))[4].n == 1


async def test_impressions_from_weeks_ago_are_not_folded() -> None:
    old = message(ts_ms=NOW_MS - KEPT_MS - 1)
    assert await Folding().fold(old) == {}


@pytest.mark.parametrize("at_once", [1, 2, 5])
async def test_what_was_shown_longest_ago_leaves_wherever_flushes_are(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown_module, "ITEMS_MOST", 2)
    folding = Folding()
    times = [(4, 1), (5, 2), (6, 3), (4, 4), (5, 0)]
    log = [message(answer=n, item=item, ts_ms=NOW_MS + at) for n, (item, at) in enumerate(times)]
    for start in range(0, len(log), at_once):
        found = await folding.fold(*log[start : start + at_once])
    assert {item: (one.n, one.t) for item, one in found.items()} == {
        4: (1, NOW_MS + 4),
        6: (1, NOW_MS + 3),
    }


async def test_a_deleted_user_does_not_come_back_with_what_memory_had() -> None:
    folding = Folding()
    await folding.fold(*(message(answer=n) for n in range(3)))
    folding.data.clear()  # by an erasure
    assert (await folding.fold(message(answer=3)))[4].n == 1


async def test_invalid_and_misplaced_records_are_rejected() -> None:
    folding = Folding()
    broken = [b"{}", b"", encode_feedback(message()).replace(b"impression", b"glance")]
    rejected = await folding.folds.take(batch_of(FEEDBACK.name, 0, list(enumerate(broken))))
    assert [place for place, _ in rejected] == [0, 1, 2]
    partition = 1 - user_partition(USER, PARTITIONS)
    claim = InMemoryClaim({}, FEEDBACK, partition)
    one = [(0, encode_feedback(message()))]
    ((_, reason),) = await folds(claim.as_claim()).take(batch_of(FEEDBACK.name, partition, one))
    assert "does not belong to partition" in reason
