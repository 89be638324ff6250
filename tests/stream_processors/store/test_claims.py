"""Claims and fenced writes, on a real store: a single node and a cluster."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from prometheus_client import REGISTRY
from redis import Redis
from structlog.typing import EventDict

from contracts.bar_messages import ChangedBar, decode_changed_bars, encode_changed_bars
from contracts.keyspace import CHUNK_FIELD_PREFIX, CLOSED_FIELD, Keyspace
from contracts.topics import COOCCURRENCES, INTERACTIONS, QUOTES
from infra.local.process import free_port, running
from infra.local.store import valkey
from runtime.redis.stores import connect_async
from stream_processors.store.chunks import (
    ON_INDEX,
    Channel,
    Group,
    Unwritten,
    command,
    packed,
    packed_pairs,
)
from stream_processors.store.claims import (
    FencedError,
    StoreEmptiedError,
    StoreWentBackError,
)
from stream_processors.store.store import FoldingError, Store
from tests.patience import PATIENCE_S, until
from tests.stream_processors.claimed import claimed, connected

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


async def test_a_claim_notes_in_redis_where_it_resumes_and_with_which_settings(
    store: Store,
) -> None:
    mine = await claimed(store, next_offset=3, folding='{"cap":5}')
    stored = await store.position(QUOTES, 0)
    assert stored.pop("updated_at_ms").isdigit()
    epoch = stored.pop("epoch")
    assert stored == {
        "next": "3",
        "flush": f"{epoch}:1",
        "incarnation": "0",
        "topic_id": "one",
        "last": "",
        "lineage": epoch,
        "folding": '{"cap":5}',
    }
    assert mine.lineage == int(epoch)


async def test_each_claim_raises_the_epoch_and_the_first_in_an_empty_store_the_lineage(
    store: Store,
) -> None:
    claims = [await claimed(store) for _ in range(3)]
    await store.client.delete(store.keyspace.position(QUOTES, 0))
    claims.append(await claimed(store))
    first, *others, last = [claim.lineage for claim in claims]
    assert others == [first, first]
    assert last > first
    epochs = [int(claim.epoch) for claim in claims]
    assert epochs == sorted(set(epochs))


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


async def test_values_and_then_the_position_are_written(store: Store) -> None:
    mine = await claimed(store)
    value = {"60": "{}", "120": 1.5, "180": 2**63 - 1}
    await mine.write(Unwritten([bar(store, 4, **value), bar(store, 5, newest=1)]), 40)
    assert await bars(store, 4) == {"60": "{}", "120": "1.5", "180": "9223372036854775807"}
    assert await bars(store, 5) == {"newest": "1"}
    stored = await store.position(QUOTES, 0)
    assert stored["next"] == "40"
    assert not [name for name in stored if name.startswith(CHUNK_FIELD_PREFIX)]
    assert mine.next_offset == 40


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
    histories = [{f"{n}": "a value" for n in range(length)} for length in lengths]
    groups = [
        Group(key, command("HSET", [text for pair in history.items() for text in pair]))
        for key, history in zip(keys, histories, strict=True)
        if history
    ]
    await mine.write(Unwritten(groups), 1)
    sizes: list[int] = []
    run = store.run

    async def noting(script: str, *arguments: Any) -> Any:
        answer = await run(script, *arguments)
        sizes.append(sum(map(len, answer[1])))
        return answer

    monkeypatch.setattr(store, "run", noting)
    answers = await mine.read(Group(key, command("HGETALL", [])) for key in keys)
    assert [dict(zip(a[::2], a[1::2], strict=True)) for a in answers] == histories
    assert max(sizes) < store.chunk_cost + 2 * max(lengths)
    assert len(sizes) < 2 * sum(sizes) / store.chunk_cost + 2


async def test_a_replaced_worker_writes_reads_and_publishes_nothing(
    store: Store, published: Published
) -> None:
    old, new = await claimed(store), await claimed(store)
    await new.write(Unwritten([bar(store, 4, newest=2)]), 50)
    with pytest.raises(FencedError, match=r"partition 0 of quotes is at epoch \d+"):
        await old.write(Unwritten([bar(store, 4, newest=1)], channel=channel_of(store)), 60)
    assert published() == []
    with pytest.raises(FencedError):
        await old.read([Group(store.keyspace.bars(0, 4), command("HGET", ["newest"]))])
    assert await bars(store, 4) == {"newest": "2"}
    assert (await store.position(QUOTES, 0))["next"] == "50"
    assert old.next_offset == 0


async def test_a_position_or_an_epoch_that_went_back_is_noticed(store: Store) -> None:
    mine = await claimed(store)
    await mine.write(Unwritten(), 40)
    stored = await store.position(QUOTES, 0)
    key = store.keyspace.position(QUOTES, 0)
    await store.client.hset(key, "flush", "1:1")
    with pytest.raises(
        StoreWentBackError, match=r"left epoch \d+ and flush \d+:2, .* has \d+ and 1:1"
    ):
        await mine.write(Unwritten([bar(store, 4, newest=1)]), 50)
    await store.client.hset(key, mapping=stored | {"epoch": str(int(stored["epoch"]) - 1)})
    with pytest.raises(StoreWentBackError):
        await mine.write(Unwritten([bar(store, 4, newest=1)]), 50)
    assert await bars(store, 4) == {}


async def test_a_position_that_is_gone_ends_the_worker(store: Store) -> None:
    mine = await claimed(store)
    await store.client.delete(store.keyspace.position(QUOTES, 0))
    with pytest.raises(StoreEmptiedError, match=r"Redis lost its data.*operations\.topics"):
        await mine.write(Unwritten([bar(store, 4, newest=1)]), 50)
    assert await bars(store, 4) == {}


async def test_no_position_covers_a_chunk_that_a_failover_lost(store: Store) -> None:
    """A replica took over that had missed the middle of a flush, but not the rest."""
    mine = await claimed(store)
    store.chunk_cost = 1
    lost = f"{CHUNK_FIELD_PREFIX}2"

    async def lose_second_chunk(script: str, keys: list[str], *arguments: Any) -> Any:
        answer = await run(script, keys, *arguments)
        if lost in arguments:
            await store.client.hdel(store.keyspace.position(QUOTES, 0), lost)
            await store.client.delete(store.keyspace.bars(0, 5))
        return answer

    run, store.run = store.run, lose_second_chunk  # type: ignore[method-assign]
    with pytest.raises(StoreWentBackError, match="chunk 2 of a flush is missing"):
        await mine.write(Unwritten([bar(store, n, newest=1) for n in (4, 5, 6)]), 40)
    assert (await store.position(QUOTES, 0))["next"] == "0"


async def test_marks_of_an_unfinished_flush_do_not_count_for_a_later_one(store: Store) -> None:
    first = await claimed(store)
    await first._write_chunks(Unwritten([bar(store, 4, newest=1)]), "flush")
    assert f"{CHUNK_FIELD_PREFIX}1" in await store.position(QUOTES, 0)
    await claimed(store)
    assert f"{CHUNK_FIELD_PREFIX}1" not in await store.position(QUOTES, 0)


async def test_a_chunk_or_a_position_whose_reply_was_lost_counts_as_written(
    store: Store,
) -> None:
    mine = await claimed(store)
    run = store.run

    async def twice(script: str, keys: list[str], *arguments: Any) -> Any:
        await run(script, keys, *arguments)
        return await run(script, keys, *arguments)

    store.run = twice  # type: ignore[method-assign]
    await mine.write(Unwritten([bar(store, 4, newest=1)]), 40)
    await mine.write(Unwritten([bar(store, 4, newest=2)]), 50)
    # Nothing was folded in between, but something is deleted.
    await mine.write(Unwritten([bar(store, 4, newest=3)], {CLOSED_FIELD: "60"}), 50)
    assert await bars(store, 4) == {"newest": "3"}
    position = await store.position(QUOTES, 0)
    assert (position["next"], position["closed"]) == ("50", "60")


async def test_a_store_that_lost_the_scripts_gets_them_again(store: Store) -> None:
    mine = await claimed(store)
    await store.client.script_flush()
    await mine.write(Unwritten([bar(store, 4, newest=1)]), 40)
    assert await bars(store, 4) == {"newest": "1"}


async def test_one_operation_may_be_wider_than_lua_unpacks_at_once(store: Store) -> None:
    mine = await claimed(store)
    wide, key = {str(n): n for n in range(10_000)}, store.keyspace.bars(0, 4)
    gone = Group(key, command("HDEL", list(map(str, range(9_000)))))
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


async def test_more_fields_may_be_packed_than_lua_unpacks_at_once(store: Store) -> None:
    mine, key = await claimed(store), store.keyspace.bars(0, 4)
    numbers = np.arange(10_000)
    (fields,) = packed_pairs(numbers, numbers, np.array([0]))
    await mine.write(Unwritten([Group(key, [], (), packed(["offset", "7"]) + fields)]), 40)
    assert await store.hash_of(key) == {"offset": "7", **{str(n): str(n) for n in range(10_000)}}


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


async def test_a_folds_own_fields_move_with_the_position(store: Store) -> None:
    mine = await claimed(store)
    await mine.write(Unwritten(fields={"closed": "120", "whole": "60"}), 5)
    await mine.write(Unwritten(fields={"whole": "180"}), 6)  # what is not named stays
    position = (await claimed(store)).position
    assert [position[name] for name in ("next", "closed", "whole")] == ["6", "120", "180"]


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


async def test_a_claim_waits_for_an_unreachable_store(tmp_path: Path) -> None:
    server = valkey(free_port(), tmp_path)
    with running(server) as process, structlog.testing.capture_logs() as logs:
        async with connected(server.address, "away", timeout_s=0.2, retries=0) as store:
            mine = await claimed(store)
            process.send_signal(signal.SIGSTOP)
            writing = asyncio.create_task(mine.write(Unwritten([bar(store, 4, newest=1)]), 40))
            await until_it_waits(writing, logs)
            process.send_signal(signal.SIGCONT)
            await writing
            assert await bars(store, 4) == {"newest": "1"}
            assert (await store.position(QUOTES, 0))["next"] == "40"


@pytest.mark.parametrize("setting", ["maxmemory", "min-replicas-to-write"])
async def test_a_claim_waits_for_a_store_that_rejects_writes(tmp_path: Path, setting: str) -> None:
    server = valkey(free_port(), tmp_path)
    with running(server), structlog.testing.capture_logs() as logs:
        async with connected(server.address, "refusing") as store:
            mine = await claimed(store)
            await store.client.config_set(setting, 1)
            writing = asyncio.create_task(mine.write(Unwritten([bar(store, 4, newest=1)]), 40))
            await until_it_waits(writing, logs)
            await store.client.config_set(setting, 0)
            await writing
            assert await bars(store, 4) == {"newest": "1"}


async def test_a_store_that_comes_back_empty_ends_the_worker(tmp_path: Path) -> None:
    server = valkey(free_port(), tmp_path)
    with structlog.testing.capture_logs() as logs:
        with running(server):
            client = await connect_async(server.address, "tests", timeout_s=0.2, retries=0)
            store = Store(client, Keyspace("away"))
            mine = await claimed(store)
        writing = asyncio.create_task(mine.write(Unwritten([bar(store, 4, newest=1)]), 40))
        await until_it_waits(writing, logs)
        with running(server):
            with pytest.raises(StoreEmptiedError):
                await writing
            assert await bars(store, 4) == {}
            await client.aclose()


async def until_it_waits(writing: asyncio.Task[None], logs: list[EventDict]) -> None:
    def waits() -> bool:
        return any("unreachable" in entry["event"] for entry in logs)

    await until(lambda: waits() or writing.done(), "it waits")
    assert not writing.done(), writing
