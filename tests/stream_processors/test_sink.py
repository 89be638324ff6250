"""Claims and fenced writes, on a real store: a single node and a cluster."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client import REGISTRY
from redis import Redis

from contracts.commands import Commands, command, pack
from contracts.keyspace import Keyspace
from contracts.topics import COOCCURRENCES, QUOTES
from infra.local.process import free_port, running
from infra.local.store import valkey
from runtime.stores import AsyncStore, connect_async
from stream_processors.marks import mark
from stream_processors.positions import Claim
from stream_processors.sink import FencedError, Sink, StoreLostError
from stream_processors.transport import LogBounds

LOG = LogBounds(0, 100)
POSITION = "position:{q0}"


Published = Callable[[], list[bytes]]


@pytest.fixture(params=["store_url", "cluster_url"], ids=["single node", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param)


@pytest.fixture
async def store(url: str) -> AsyncIterator[AsyncStore]:
    client = await connect_async(url, "tests")
    yield client
    await client.aclose()


@pytest.fixture
def sink(store: AsyncStore, namespace: str) -> Sink:
    return Sink(store, Keyspace(namespace))


@pytest.fixture
def published(url: str, sink: Sink) -> Iterator[Published]:
    """What is published of partition 0 of quotes, from now on."""
    channel = sink.keyspace.bars_changed(0)
    with Redis.from_url(url, protocol=2) as client, client.pubsub() as subscription:
        subscription.ssubscribe(channel)
        assert subscription.get_message(timeout=20)["type"] == "ssubscribe"

        def messages() -> list[bytes]:
            client.execute_command("SPUBLISH", channel, b"end")
            said = iter(lambda: subscription.get_message(timeout=20)["data"], b"end")
            return list(said)

        yield messages


async def claim(sink: Sink, topic_id: str = "one", log: LogBounds = LOG) -> Claim:
    return await sink.claim(QUOTES, topic_id, 0, log)


def bar(sink: Sink, instrument: int, **fields: Any) -> Commands:
    flat = [str(part) for pair in fields.items() for part in pair]
    return command("HSET", sink.keyspace.bars(0, instrument), flat)


async def bars(sink: Sink, instrument: int) -> dict[str, str]:
    return await sink.hash_of(sink.keyspace.bars(0, instrument))


async def position(sink: Sink) -> dict[str, str]:
    return await sink.hash_of(sink.keyspace.position(QUOTES, 0))


async def test_a_first_claim_starts_at_the_logs_beginning_and_says_so_in_redis(sink: Sink) -> None:
    mine = await claim(sink, log=LogBounds(3, 100))
    assert (mine.next_offset, mine.incarnation, mine.sources) == (3, 0, {})
    stored = await position(sink)
    assert stored.pop("updated_at_ms").isdigit()
    assert stored == {
        "next": "3",
        "epoch": str(mine.epoch),
        "incarnation": "0",
        "topic_id": "one",
        "lineage": str(mine.epoch),
    }


async def test_each_claim_keeps_the_lineage_until_the_store_is_empty(sink: Sink) -> None:
    first = await claim(sink)
    assert (await claim(sink)).lineage == first.lineage
    assert await sink.lineage(QUOTES, 0) == first.lineage
    await sink.store.delete(sink.keyspace.position(QUOTES, 0))
    assert await sink.lineage(QUOTES, 0) is None
    assert (await claim(sink)).lineage > first.lineage


async def test_each_claim_raises_the_epoch(sink: Sink) -> None:
    epochs = [(await claim(sink)).epoch for _ in range(3)]
    assert epochs == sorted(set(epochs))


async def test_a_store_that_lost_its_data_never_gives_an_epoch_again(sink: Sink) -> None:
    before = await claim(sink)
    await sink.store.delete(sink.keyspace.position(QUOTES, 0))
    assert (await claim(sink)).epoch > before.epoch


async def test_values_and_then_the_position_are_written(sink: Sink) -> None:
    mine = await claim(sink)
    value = {"60": "{}", "120": 1.5, "180": 2**63 - 1}
    await sink.write(mine, [bar(sink, 4, **value), bar(sink, 5, newest=1)], 40)
    assert await bars(sink, 4) == {"60": "{}", "120": "1.5", "180": "9223372036854775807"}
    assert await bars(sink, 5) == {"newest": "1"}
    assert (await position(sink))["next"] == "40"
    assert (mine.next_offset, mine.stored_next) == (40, "40")
    assert await sink.next_offset(QUOTES, 0) == 40


async def test_the_next_claim_goes_on_at_the_position(sink: Sink) -> None:
    await sink.write(await claim(sink), [], 40)
    again = await claim(sink)
    assert (again.next_offset, again.incarnation) == (40, 0)


async def test_a_partition_without_a_position_is_at_0(sink: Sink) -> None:
    assert await sink.next_offset(QUOTES, 7) == 0


async def test_a_replaced_worker_writes_nothing(sink: Sink) -> None:
    old, new = await claim(sink), await claim(sink)
    await sink.write(new, [bar(sink, 4, newest=2)], 50)
    with pytest.raises(FencedError, match=rf"partition 0 of quotes is at epoch {new.epoch}"):
        await sink.write(old, [bar(sink, 4, newest=1)], 60)
    assert await bars(sink, 4) == {"newest": "2"}
    assert (await position(sink))["next"] == "50"
    assert old.next_offset == 0


async def test_a_worker_replaced_in_the_middle_of_a_flush_stops_there(sink: Sink) -> None:
    old = await claim(sink)
    await sink._write_chunk(old, bar(sink, 4, newest=1), 40)
    new = await claim(sink)
    with pytest.raises(FencedError):
        await sink._write_chunk(old, bar(sink, 5, newest=1), 40)
    assert (await bars(sink, 4), await bars(sink, 5)) == ({"newest": "1"}, {})
    assert new.next_offset == 0


async def test_a_position_that_went_back_is_a_lost_store(sink: Sink) -> None:
    mine = await claim(sink)
    await sink.write(mine, [], 40)
    await sink.store.hset(sink.keyspace.position(QUOTES, 0), "next", "30")
    with pytest.raises(StoreLostError, match=r"left epoch \d+ and next 40 .* has \d+ and 30"):
        await sink.write(mine, [bar(sink, 4, newest=1)], 50)
    assert await bars(sink, 4) == {}


async def test_a_position_that_is_gone_is_a_lost_store(sink: Sink) -> None:
    mine = await claim(sink)
    await sink.store.delete(sink.keyspace.position(QUOTES, 0))
    with pytest.raises(StoreLostError, match="now Redis has none and none"):
        await sink.write(mine, [bar(sink, 4, newest=1)], 50)
    assert await bars(sink, 4) == {}


async def test_an_epoch_that_went_back_is_a_lost_store(sink: Sink) -> None:
    mine = await claim(sink)
    await sink.store.hset(sink.keyspace.position(QUOTES, 0), "epoch", str(mine.epoch - 1))
    with pytest.raises(StoreLostError):
        await sink.write(mine, [], 50)


async def test_a_chunk_whose_answer_was_lost_is_taken_as_written(sink: Sink) -> None:
    mine = await claim(sink)
    moved = command("HSET", sink.keyspace.position(QUOTES, 0), ["next", "40"])
    chunk = bar(sink, 4, newest=1) + moved
    await sink._write_chunk(mine, chunk, 40)
    await sink._write_chunk(mine, chunk, 40)
    assert await bars(sink, 4) == {"newest": "1"}
    assert (await position(sink))["next"] == "40"


async def test_a_store_that_forgot_the_script_is_told_it_again(sink: Sink) -> None:
    mine = await claim(sink)
    await sink.store.script_flush()
    await sink.write(mine, [bar(sink, 4, newest=1)], 40)
    assert await bars(sink, 4) == {"newest": "1"}


async def test_one_operation_may_be_wider_than_lua_unpacks_at_once(sink: Sink) -> None:
    mine = await claim(sink)
    wide = {str(n): n for n in range(10_000)}
    key = sink.keyspace.bars(0, 4)
    gone = command("HDEL", key, list(map(str, range(9_000))))
    await sink.write(mine, [bar(sink, 4, **wide) + gone], 40)
    assert await bars(sink, 4) == {str(n): str(n) for n in range(9_000, 10_000)}
    asked = list(map(str, range(5_000, 10_000)))
    answers = await sink.read(mine, [command("HMGET", key, asked), command("HGETALL", key, [])])
    assert answers[0] == [None] * 4_000 + list(map(str, range(9_000, 10_000)))
    assert dict(zip(answers[1][::2], answers[1][1::2], strict=True)) == await bars(sink, 4)


async def test_what_is_read_is_checked_against_the_claim_where_asked(sink: Sink) -> None:
    old = await claim(sink)
    await sink.write(old, [bar(sink, 4, newest=1)], 40)
    question = command("HGET", sink.keyspace.bars(0, 4), ["newest"])
    assert await sink.read(old, [question] * 3, cost=1, still_mine=True) == ["1"] * 3
    await claim(sink)
    assert await sink.read(old, [question]) == ["1"]
    with pytest.raises(FencedError):
        await sink.read(old, [question], still_mine=True)


async def test_what_is_applied_of_each_source_moves_with_the_position(sink: Sink) -> None:
    mine = await sink.claim(COOCCURRENCES, "one", 0, LOG)
    applied = {0: mark(0, 7), 11: mark(2, 5)}
    await sink.write(mine, [], 10, applied)
    assert mine.sources == applied
    await sink.write(mine, [], 20)  # what did not change stays
    again = await sink.claim(COOCCURRENCES, "one", 0, LOG)
    assert (again.sources, again.next_offset) == (applied, 20)


async def test_a_topic_made_anew_raises_the_incarnation_and_starts_over_loudly(sink: Sink) -> None:
    await sink.write(await claim(sink), [], 40)
    before = started_over()
    with structlog.testing.capture_logs() as logs:
        anew = await claim(sink, topic_id="another")
    assert (anew.next_offset, anew.incarnation) == (0, 1)
    assert (await position(sink))["incarnation"] == "1"
    assert [entry["why"] for entry in logs] == ["topic was made anew"]
    assert started_over() == before + 1
    assert (await claim(sink, topic_id="another")).incarnation == 1


async def test_a_log_that_was_cut_behind_the_position_counts_what_is_missing(sink: Sink) -> None:
    await sink.write(await claim(sink), [], 40)
    before = missing()
    with structlog.testing.capture_logs() as logs:
        later = await claim(sink, log=LogBounds(60, 100))
    assert later.next_offset == 60
    assert missing() == before + 20
    assert [entry["log_level"] for entry in logs] == ["error"]


async def test_a_first_start_on_an_empty_log_is_nothing_to_warn_of(sink: Sink) -> None:
    with structlog.testing.capture_logs() as logs:
        await claim(sink, log=LogBounds(0, 0))
    assert logs == []


def started_over() -> float:
    why = {"why": "topic was made anew"}
    return REGISTRY.get_sample_value("partitions_started_over_total", why) or 0.0


def missing() -> float:
    return REGISTRY.get_sample_value("records_missing_total", {"topic": "quotes"}) or 0.0


async def test_a_chunk_of_bars_is_published_as_it_was_written(
    sink: Sink, published: Published
) -> None:
    mine = await claim(sink)
    one, other = bar(sink, 4, **{"60": "{}"}), bar(sink, 5, **{"120": "{}"}, newest=120)
    await sink.write(mine, [one, other], 40)
    assert published() == [pack(one + other)]


async def test_each_chunk_of_a_flush_is_published_once(sink: Sink, published: Published) -> None:
    wide = [bar(sink, n, **{str(m): n for m in range(1_000)}) for n in range(3)]
    await sink.write(await claim(sink), wide, 40)
    assert sorted(published()) == [pack(chunk) for chunk in wide]


async def test_a_replaced_worker_publishes_nothing(sink: Sink, published: Published) -> None:
    old, _ = await claim(sink), await claim(sink)
    with pytest.raises(FencedError):
        await sink.write(old, [bar(sink, 4, newest=1)], 60)
    assert published() == []


async def test_a_position_alone_is_not_published(sink: Sink, published: Published) -> None:
    await sink.write(await claim(sink), [], 40)
    assert published() == []


async def test_only_bars_are_published(sink: Sink, published: Published) -> None:
    mine = await sink.claim(COOCCURRENCES, "one", 0, LOG)
    await sink.write(mine, [command("HSET", sink.keyspace.cooc(0, 4), ["5", "1"])], 40)
    assert published() == []


async def test_bars_that_may_not_be_published_are_written(url: str, sink: Sink) -> None:
    with Redis.from_url(url) as admin:
        rules = ["on", ">secret", "+@all", "~*", "resetchannels"]
        admin.execute_command("ACL", "SETUSER", "without-channels", *rules)
        try:
            address = url.replace("://", "://without-channels:secret@")
            client = await connect_async(address, "tests")
            before = REGISTRY.get_sample_value("bars_unpublished_total") or 0
            mute = Sink(client, sink.keyspace)
            mine = await claim(mute)
            with structlog.testing.capture_logs() as logs:
                await mute.write(mine, [bar(sink, 4, newest=1)], 40)
                await mute.write(mine, [bar(sink, 4, newest=2)], 41)
            await client.aclose()
        finally:
            admin.execute_command("ACL", "DELUSER", "without-channels")
    assert await bars(sink, 4) == {"newest": "2"}
    assert (await position(sink))["next"] == "41"
    assert [entry["channel"] for entry in logs] == [sink.keyspace.bars_changed(0)]
    assert REGISTRY.get_sample_value("bars_unpublished_total") == before + 2


async def test_a_store_that_is_away_is_waited_for(tmp_path: Path) -> None:
    server = valkey(free_port(), tmp_path)
    with running(server) as process, structlog.testing.capture_logs() as logs:
        client = await connect_async(server.address, "tests", timeout_s=0.2, retries=0)
        sink = Sink(client, Keyspace("away"))
        mine = await claim(sink)
        process.send_signal(signal.SIGSTOP)
        writing = asyncio.create_task(sink.write(mine, [bar(sink, 4, newest=1)], 40))
        await until(lambda: any("away" in entry["event"] for entry in logs))
        assert not writing.done()
        process.send_signal(signal.SIGCONT)
        await writing
        assert await bars(sink, 4) == {"newest": "1"}
        assert (await position(sink))["next"] == "40"
        await client.aclose()


async def test_a_store_that_comes_back_empty_ends_the_worker(tmp_path: Path) -> None:
    server = valkey(free_port(), tmp_path)
    with structlog.testing.capture_logs() as logs:
        with running(server):
            client = await connect_async(server.address, "tests", timeout_s=0.2, retries=0)
            sink = Sink(client, Keyspace("away"))
            mine = await claim(sink)
        writing = asyncio.create_task(sink.write(mine, [bar(sink, 4, newest=1)], 40))
        await until(lambda: any("away" in entry["event"] for entry in logs))
        with running(server):
            with pytest.raises(StoreLostError, match="it lost data"):
                await writing
            assert await bars(sink, 4) == {}
            await client.aclose()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 (the log has no event to wait for)
            await asyncio.sleep(0.01)
