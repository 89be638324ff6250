"""Claims and fenced writes, on a real store: a single node and a cluster."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from prometheus_client import REGISTRY
from redis import Redis

from contracts.bar_messages import ChangedBar, decode_changed_bars, encode_changed_bars
from contracts.keyspace import CHUNK_FIELD_PREFIX, CLOSED_FIELD
from contracts.topics import COOCCURRENCES, INTERACTIONS, QUOTES
from stream_processors.store.chunks import (
    ON_INDEX,
    Channel,
    Group,
    Unwritten,
    chunks,
    command,
    packed,
    packed_pairs,
)
from stream_processors.store.claims import Claim, FencedError, StoreEmptiedError, StoreWentBackError
from stream_processors.store.memory import too_large
from stream_processors.store.store import FoldingError, Store
from tests.examples import examples
from tests.patience import PATIENCE_S
from tests.stream_processors.folding import claimed, connected

Published = Callable[[], list[ChangedBar]]


@pytest.fixture
def published(url: str, store: Store) -> Iterator[Published]:
    """Messages published for partition 0 of quotes, from now on."""
    channel = store.keyspace.bars_changed(0)
    with Redis.from_url(url, protocol=2) as client, client.pubsub() as subscription:
        subscription.ssubscribe(channel)
        assert subscription.get_message(timeout=PATIENCE_S)["type"] == "ssubscribe"

        def messages() -> list[ChangedBar]:
            client.execute_command("SPUBLISH", channel, b"end")
            said = iter(lambda: subscription.get_message(timeout=PATIENCE_S)["data"], b"end")
            return [bar for message in said for bar in decode_changed_bars(message)]

        yield messages


def bar(store: Store, instrument: int, **fields: Any) -> Group:
    flat = [str(part) for pair in fields.items() for part in pair]
    published = [ChangedBar(instrument, 60, flat[1])]
    return Group(store.keyspace.bars(0, instrument), command("HSET", flat), published)


async def bars(store: Store, instrument: int) -> dict[str, str]:
    return await store.hash_of(store.keyspace.bars(0, instrument))


INSTRUMENTS = (4, 5, 6)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
values = st.dictionaries(st.sampled_from(INSTRUMENTS), numbers)
Fields = dict[str, str]


class Claims(RuleBasedStateMachine):
    """Workers claim a partition, write and read, while replies, chunks and stores are lost."""

    def __init__(self, run: Callable[[Any], Any], store: Store, partition: int) -> None:
        super().__init__()
        self.run_async, self.store, self.partition = run, store, partition
        position = store.keyspace.position(QUOTES, partition)
        self.keys = [position, *(store.keyspace.bars(partition, n) for n in INSTRUMENTS)]
        self.claims: list[Claim] = []
        self.claim()
        self.replica = self.stored()

    def stored(self) -> list[Fields]:
        """The position, and the bars of each instrument."""
        return [self.run_async(self.store.hash_of(key)) for key in self.keys]

    @rule()
    def claim(self) -> None:
        before = self.stored()
        claim = self.run_async(claimed(self.store, QUOTES, self.partition))
        position, *bars = self.stored()
        assert bars == before[1:]
        assert all(int(claim.epoch) > int(other.epoch) for other in self.claims)
        assert position["lineage"] == before[0].get("lineage", claim.epoch) == str(claim.lineage)
        assert lasting(position) == (lasting(before[0]) or lasting(position))
        assert not marks(position)
        self.claims.append(claim)

    @rule(data=st.data(), cost=st.sampled_from([1, 2_500]), times=st.integers(1, 2))
    def write(self, data: st.DataObject, cost: int, times: int) -> None:
        """Each call reaches the store so many times: the replies before the last are lost."""
        claim = data.draw(st.sampled_from(self.claims))
        some, closed = data.draw(values), data.draw(st.none() | st.integers(0, 9))
        end = claim.next_offset + data.draw(st.integers(0, 9))
        before, run = self.stored(), self.store.run

        async def repeated(*arguments: Any) -> Any:
            return [await run(*arguments) for _ in range(times)][-1]

        groups = [
            Group(key, command("HSET", ["60", str(some[n])]))
            for n, key in zip(INSTRUMENTS, self.keys[1:], strict=True)
            if n in some
        ]
        fields = {} if closed is None else {CLOSED_FIELD: str(closed)}
        with pytest.MonkeyPatch.context() as patch, refused(claim, before[0]) as why:
            patch.setattr(self.store, "run", repeated)
            self.store.chunk_cost = cost
            self.run_async(claim.write(Unwritten(groups, fields), end))
        position, *bars = after = self.stored()
        if why:
            assert after == before
            return
        self.replica = before
        written = [{"60": str(some[n])} if n in some else {} for n in INSTRUMENTS]
        assert bars == [old | new for old, new in zip(before[1:], written, strict=True)]
        assert lasting(position) == lasting(before[0]) | {"next": str(end)} | fields
        assert not marks(position)
        assert claim.next_offset == end

    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        self.ask(data.draw(st.sampled_from(self.claims)))

    def ask(self, claim: Claim) -> None:
        position, *bars = self.stored()
        questions = [Group(key, command("HGET", ["60"])) for key in self.keys[1:]]
        with refused(claim, position):
            assert self.run_async(claim.read(questions)) == [its.get("60") for its in bars]

    @rule(lost=st.integers(1, 3))
    def lose_a_chunk(self, lost: int) -> None:
        """A replica takes over that missed it, but not the rest of the flush."""
        self.claim()
        claim, run, mark = self.claims.pop(), self.store.run, f"{CHUNK_FIELD_PREFIX}{lost}"

        async def losing(script: str, keys: list[str], *arguments: Any) -> Any:
            answer = await run(script, keys, *arguments)
            if mark in arguments:
                await self.store.client.hdel(self.keys[0], mark)
                await self.store.client.delete(self.keys[lost])
            return answer

        before, self.store.chunk_cost = self.stored()[0], 1
        groups = [Group(key, command("HSET", ["60", "lost"])) for key in self.keys[1:]]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.store, "run", losing)
            with pytest.raises(StoreWentBackError, match=f"chunk {lost} of a flush is missing"):
                self.run_async(claim.write(Unwritten(groups), 99))
        assert before.items() < self.stored()[0].items()
        self.claim()

    @rule()
    def lose_the_scripts(self) -> None:
        self.run_async(self.store.client.script_flush())

    @rule(is_empty=st.booleans())
    def fail_over(self, *, is_empty: bool) -> None:
        """A replica takes over that does not have the last write, or nothing at all."""
        for key, fields in zip(self.keys, self.replica, strict=True):
            self.run_async(self.store.client.delete(key))
            if fields and not is_empty:
                self.run_async(self.store.client.hset(key, mapping=fields))
        self.ask(self.claims[-1])
        self.claim()


def marks(position: Fields) -> set[str]:
    """The chunks of an unfinished flush that were written."""
    return {name for name in position if name.startswith(CHUNK_FIELD_PREFIX)}


def lasting(position: Fields) -> Fields:
    """What only a fold's write changes."""
    passing = {"epoch", "flush", "updated_at_ms"} | marks(position)
    return {name: value for name, value in position.items() if name not in passing}


def refused(claim: Claim, position: Fields) -> Any:
    """Return how a claim says that the store is not as it left it, if it is not."""
    if (position.get("epoch"), position.get("flush")) == (claim.epoch, claim._flush):
        return contextlib.nullcontext()
    if not position:
        return pytest.raises(StoreEmptiedError, match=r"lost its data.*operations\.topics")
    if int(position["epoch"]) > int(claim.epoch):
        return pytest.raises(FencedError, match=f"of quotes is at epoch {position['epoch']}")
    return pytest.raises(StoreWentBackError, match=f"left epoch {claim.epoch} and flush")


def test_only_the_last_claim_writes_and_only_in_the_store_that_it_left(
    url: str, namespace: str
) -> None:
    with asyncio.Runner() as runner:
        connection = connected(url, namespace)
        store, partitions = runner.run(connection.__aenter__()), itertools.count()
        run_state_machine_as_test(
            lambda: Claims(runner.run, store, next(partitions)),
            settings=examples(100, stateful_step_count=20),
        )
        runner.run(connection.__aexit__(None, None, None))


async def test_other_settings_are_refused_with_both_values_and_nobody_is_fenced(
    store: Store,
) -> None:
    mine = await claimed(store, INTERACTIONS, folding='{"affinity":"binary","history_cap":500}')
    with pytest.raises(
        FoldingError,
        match=r"interactions/0 .* HISTORY_CAP was 500 and is 50\. Restore .*NAMESPACE",
    ):
        await store.fence(INTERACTIONS, 0, '{"affinity":"binary","history_cap":50}')
    await mine.write(Unwritten(), 40)


async def test_each_command_goes_to_its_groups_key_or_to_the_index(store: Store) -> None:
    mine = await claimed(store, COOCCURRENCES)
    keys = [store.keyspace.cooc(0, item) for item in (4, 5)]
    groups = [
        Group(key, [*command("SADD", [name], ON_INDEX), *command("HSET", ["1", name])])
        for key, name in zip(keys, ("four", "five"), strict=True)
    ]
    await mine.write(Unwritten([*groups, Group(keys[0], command("HSET", ["2", "more"]))]), 1)
    assert await store.client.smembers(store.keyspace.items(0)) == {"four", "five"}
    assert await store.hash_of(keys[0]) == {"1": "four", "2": "more"}
    questions = [
        Group(keys[1], command("HGET", ["1"]) + command("HGET", ["2"])),
        Group(keys[0], command("HGET", ["2"])),
    ]
    assert await mine.read(questions) == ["five", None, "more"]
    assert await mine.read(questions, enough=1) == ["five", None, "more"]


async def test_a_call_reads_no_more_than_the_limit_however_much_is_stored(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = await claimed(store, INTERACTIONS)
    lengths = [700, 0, 1, 900, 2, 5, 700, 700, 400] + 40 * [300] + [1]
    keys = [store.keyspace.history(0, str(n)) for n in range(len(lengths))]
    histories = [[str(n) for n in range(2 * length)] for length in lengths]
    some = [Group(k, command("HSET", its)) for k, its in zip(keys, histories, strict=True) if its]
    await mine.write(Unwritten(some), 1)
    sizes, run = list[int](), store.run

    async def noting(script: str, *arguments: Any) -> Any:
        answer = await run(script, *arguments)
        sizes.append(sum(map(len, answer[1])))
        return answer

    monkeypatch.setattr(store, "run", noting)
    answers = await mine.read(Group(key, command("HGETALL", [])) for key in keys)
    assert list(map(sorted, answers)) == list(map(sorted, histories))
    assert max(sizes) < store.chunk_cost + 2 * max(lengths)
    assert len(sizes) < 2 * sum(sizes) / store.chunk_cost + 2


async def test_one_operation_may_be_wider_than_lua_unpacks_at_once(store: Store) -> None:
    mine = await claimed(store)
    wide, key = {str(n): n for n in range(10_000)}, store.keyspace.bars(0, 4)
    (fields,) = packed_pairs(np.arange(10_000), np.arange(10_000), np.array([0]))
    await mine.write(Unwritten([Group(key, [], (), packed(["-1", "7"]) + fields)]), 30)
    assert await bars(store, 4) == {"-1": "7", **{n: n for n in wide}}
    gone = Group(key, command("HDEL", list(map(str, range(-1, 9_000)))))
    await mine.write(Unwritten([bar(store, 4, **wide), gone]), 40)
    assert await bars(store, 4) == {str(n): str(n) for n in range(9_000, 10_000)}
    asked = list(map(str, range(5_000, 10_000)))
    answers = await mine.read([Group(key, command("HMGET", asked) + command("HGETALL", []))])
    assert answers[0] == [None] * 4_000 + list(map(str, range(9_000, 10_000)))
    assert dict(zip(answers[1][::2], answers[1][1::2], strict=True)) == await bars(store, 4)


async def test_packed_fields_are_stored_as_text_after_the_commands_of_their_group(
    store: Store,
) -> None:
    mine = await claimed(store)
    keys = [store.keyspace.bars(0, n) for n in range(3)]
    await mine.write(Unwritten([Group(key, command("HSET", ["old", "1"])) for key in keys]), 5)
    pairs = np.array([[0, 1], [4, 255], [2**32 - 1, 65_536]])
    (numbers,) = packed_pairs(*pairs.T, np.array([0]))  # type: ignore[call-arg]
    text = packed(["offset", "[0,7]", "x" * 200, "0.1"])
    groups = [
        Group(keys[0], command("UNLINK", []), (), text + numbers),
        Group(keys[1], command("HSET", ["new", "2"])),
        Group(keys[2], [], (), numbers),
    ]
    await mine.write(Unwritten(groups), 6)
    its = {str(field): str(value) for field, value in pairs.tolist()}
    assert await store.hash_of(keys[0]) == {"offset": "[0,7]", "x" * 200: "0.1", **its}
    assert await store.hash_of(keys[1]) == {"old": "1", "new": "2"}
    assert await store.hash_of(keys[2]) == {"old": "1", **its}


async def test_a_flush_may_have_more_chunks_and_fields_than_lua_unpacks_at_once(
    store: Store,
) -> None:
    mine = await claimed(store)
    store.chunk_cost = 1
    fields = {f"source:{n}": f"[0,{n}]" for n in range(4_100)}
    await mine.write(Unwritten([bar(store, n, newest=n) for n in range(4_100)], fields), 40)
    stored = await store.position(QUOTES, 0)
    assert fields.items() <= stored.items()
    assert stored.keys() == (await store.fence(QUOTES, 0, "{}")).keys()
    assert await bars(store, 4_099) == {"newest": "4099"}


def channel_of(store: Store) -> Channel:
    return Channel(store.keyspace.bars_changed(0), encode_changed_bars)


async def test_bars_are_published_by_the_chunk_that_writes_them(
    store: Store, published: Published
) -> None:
    mine = await claimed(store)
    store.chunk_cost = 1
    groups = [bar(store, n, newest=n) for n in (4, 5)]
    await mine.write(Unwritten(groups, channel=channel_of(store)), 40)
    assert sorted(published()) == [ChangedBar(4, 60, "4"), ChangedBar(5, 60, "5")]
    await claimed(store)
    with pytest.raises(FencedError):
        await mine.write(Unwritten(groups, channel=channel_of(store)), 50)
    assert published() == []


async def test_bars_that_may_not_be_published_are_written(url: str, store: Store) -> None:
    with Redis.from_url(url) as admin:
        rules = ["on", ">secret", "+@all", "~*", "resetchannels"]
        admin.execute_command("ACL", "SETUSER", "without-channels", *rules)
        try:
            before = REGISTRY.get_sample_value("bars_unpublished_total") or 0
            channel = channel_of(store)
            address = url.replace("://", "://without-channels:secret@")
            async with connected(address, store.keyspace.namespace) as its:
                mine = await claimed(its)
                with structlog.testing.capture_logs() as logs:
                    await mine.write(Unwritten([bar(its, 4, newest=1)], channel=channel), 40)
                    await mine.write(Unwritten([bar(its, 4, newest=2)], channel=channel), 41)
        finally:
            admin.execute_command("ACL", "DELUSER", "without-channels")
    assert await bars(store, 4) == {"newest": "2"}
    assert (await store.position(QUOTES, 0))["next"] == "41"
    assert [entry["channel"] for entry in logs] == [channel.name]
    assert REGISTRY.get_sample_value("bars_unpublished_total") == before + 2


COST = 2_500

group_widths = st.lists(
    st.lists(st.integers(0, 3_000), min_size=1, max_size=3), min_size=1, max_size=20
)


def groups_of(widths: list[list[int]]) -> list[Group]:
    """Return groups with so many arguments of each command, and as many packed numbers."""
    return [
        Group(
            f"key {n}",
            [e for w in group for e in command("HSET", ["x"] * w)],
            [n],
            bytes(5 * sum(group)),
            sum(group),
        )
        for n, group in enumerate(widths)
    ]


def size(group: Group) -> int:
    return 1 + len(group.commands) + group.n


@given(widths=group_widths)
def test_groups_are_never_split_and_chunks_stay_small(widths: list[list[int]]) -> None:
    groups, at, before = groups_of(widths), 0, COST
    for chunk in chunks(groups, COST):
        its = groups[at : at + len(chunk.keys)]
        assert chunk.keys == [group.key for group in its]
        assert chunk.commands == [e for g in its for e in (len(g.commands), *g.commands)]
        assert chunk.published == [n for group in its for n in group.published]
        assert chunk.fields == [group.fields for group in its]
        assert len(its) == 1 or sum(map(size, its)) <= COST
        assert before + size(its[0]) > COST, "the chunk before had room"
        before = sum(map(size, its))
        at += len(its)
    assert at == len(groups)


GB = 10**9


def test_bars_that_will_not_fit_are_named_with_what_there_is() -> None:
    assert too_large(50_000, 1_440, 14 * GB) is None
    assert too_large(50_000, 1_440, memory_bytes=0) is None
    said = too_large(50_000, 1_440, 13 * GB)
    assert said is not None
    assert "bars of 50,000 instruments over 1,440 minutes" in said
    assert "take 13.7 GB, and Redis has 13.0 GB" in said
