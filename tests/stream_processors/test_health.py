import asyncio

from faust.types import TP
from redis.exceptions import ConnectionError as RedisConnectionError

from stream_processors.health import Progress, answers_soon

A, B = TP("quotes", 0), TP("quotes", 1)


def test_a_partition_with_work_that_does_not_move_is_stalled() -> None:
    progress = Progress(stalled_after_s=30)
    assert progress.stalled({A: 5}, {A: 10}, 0.0) == {}
    assert progress.stalled({A: 5}, {A: 10}, 30.0) == {}
    assert progress.stalled({A: 5}, {A: 10}, 31.0) == {A: 31.0}


def test_a_partition_that_moves_is_not_stalled_however_far_behind() -> None:
    progress = Progress(stalled_after_s=30)
    for n in range(10):
        assert progress.stalled({A: n}, {A: 1_000_000}, n * 100.0) == {}


def test_a_partition_with_nothing_to_do_is_not_stalled() -> None:
    progress = Progress(stalled_after_s=30)
    for n in range(3):
        assert progress.stalled({A: 5}, {A: 0}, n * 100.0) == {}


def test_idle_time_does_not_count_against_new_work() -> None:
    progress = Progress(stalled_after_s=30)
    progress.stalled({A: 5}, {A: 0}, 0.0)
    assert progress.stalled({A: 5}, {A: 3}, 100.0) == {}
    assert progress.stalled({A: 5}, {A: 3}, 129.0) == {}
    assert progress.stalled({A: 5}, {A: 3}, 131.0) == {A: 31.0}


def test_each_partition_is_judged_alone() -> None:
    progress = Progress(stalled_after_s=30)
    progress.stalled({A: 5, B: 5}, {A: 1, B: 1}, 0.0)
    assert progress.stalled({A: 6, B: 5}, {A: 1, B: 1}, 40.0) == {B: 40.0}


def test_a_partition_that_was_assigned_and_never_claimed_is_stalled() -> None:
    progress = Progress(stalled_after_s=30)
    progress.stalled({}, {A: 10}, 0.0)
    assert progress.stalled({}, {A: 10}, 31.0) == {A: 31.0}


def test_a_partition_that_comes_back_is_judged_anew() -> None:
    progress = Progress(stalled_after_s=30)
    progress.stalled({A: 5}, {A: 10}, 0.0)
    progress.stalled({}, {}, 20.0)
    assert progress.stalled({A: 5}, {A: 10}, 40.0) == {}


async def test_a_server_that_says_nothing_or_refuses_does_not_answer() -> None:
    async def silent() -> bool:
        await asyncio.Event().wait()
        return True

    async def refusing() -> bool:
        raise RedisConnectionError

    async def answering() -> bool:
        return True

    assert not await answers_soon(silent, within_s=0.01)
    assert not await answers_soon(refusing)
    assert await answers_soon(answering)
