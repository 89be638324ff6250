"""Merging and holding back live bars, without a server."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from api.http.metrics import LiveMetrics
from api.live.answers import SERVER_SENT, stale_frame
from api.live.board import Board
from api.live.listener import (
    MINUTES_HELD,
    PENDING_MOST,
    Listener,
    Subscription,
    Subscriptions,
)
from contracts.bar_messages import ChangedBar

from .conftest import NOW_MS, RUNNING_S
from .streaming import value

OTHER = 9
STALE = stale_frame("redis-away")


NUMBERS = SERVER_SENT["number"]


def listener_of(*instruments: int) -> Listener:
    listener = Listener(NUMBERS, LiveMetrics(CollectorRegistry()))
    listener.watch(bars_of(*instruments))
    return listener


def bars_of(*instruments: int) -> Subscriptions:
    return frozenset(Subscription("bars", i) for i in instruments)


def add_6(board: Board, listener: Listener) -> Subscriptions:
    """Add the bars of instrument 6, which are not begun; return the added subscriptions."""
    added = bars_of(6)
    board.add(listener, added)
    listener.watch(listener.subscribed | added)
    return added


def begin(listener: Listener, board: Board) -> None:
    """Begin with the snapshot of all subscriptions."""
    subscribed = listener.subscribed
    listener.begin(subscribed, board.newest_bars(subscribed), board.newest_quotes(subscribed))


def changed(instrument: int, minute: int, n: int, offset: int | None = None) -> ChangedBar:
    encoded = msgspec.json.encode(value(n, offset)).decode()
    return ChangedBar(instrument, RUNNING_S + 60 * minute, encoded)


async def taken(listener: Listener) -> list[tuple[int, int, int]]:
    """Take the pending bars: instrument, minute and n of each, without other events."""
    return bars_in(await listener.take() or b"")


def bars_in(said: bytes) -> list[tuple[int, int, int]]:
    frames = said.split(b"\n\n")
    bars = [msgspec.json.decode(f.split(b"\n")[1][6:]) for f in frames if b"bar\n" in f]
    return [(bar["instrument_id"], (bar["t"] // 1000 - RUNNING_S) // 60, bar["n"]) for bar in bars]


@pytest.fixture
async def board_and_listener() -> tuple[Board, Listener]:
    board, listener = Board(lambda: NOW_MS), listener_of(4, 5)
    board.add(listener, listener.subscribed)
    begin(listener, board)
    await listener.take()
    return board, listener


async def test_what_is_not_later_than_what_is_known_is_left_out(
    board_and_listener: tuple[Board, Listener],
) -> None:
    board, listener = board_and_listener
    board.take([changed(4, 0, 2), changed(OTHER, 0, 9)])
    assert await taken(listener) == [(4, 0, 2)]
    board.take([changed(4, 0, 1), changed(4, 0, 2)])
    board.take_snapshot([changed(4, 0, 2), changed(4, 0, 1), changed(5, 0, 1)])
    assert await taken(listener) == [(5, 0, 1)]
    board.take([changed(4, 0, 3)])
    assert await taken(listener) == [(4, 0, 3)]


async def test_a_snapshot_does_not_bring_a_minute_back_that_a_newer_one_came_after(
    board_and_listener: tuple[Board, Listener],
) -> None:
    board, listener = board_and_listener
    board.take([changed(4, 1, 5)])
    assert await taken(listener) == [(4, 1, 5)]
    board.take_snapshot([changed(4, 0, 4), changed(4, 1, 6), changed(5, 0, 1)])
    assert await taken(listener) == [(4, 1, 6), (5, 0, 1)]
    board.take([changed(4, 0, 6)])  # a late quote
    assert await taken(listener) == [(4, 0, 6)]


async def test_after_an_interruption_what_is_read_is_taken_as_it_is(
    board_and_listener: tuple[Board, Listener],
) -> None:
    board, listener = board_and_listener
    board.take([changed(4, 0, 5)])
    listener.interrupt(STALE)
    listener.interrupt(STALE)
    board.take([changed(4, 0, 6)])
    assert await listener.take() == STALE[NUMBERS]
    listener.interrupt(STALE)  # again, before there was a snapshot
    board.forget_bars()
    board.take_snapshot([changed(4, 0, 3)])  # the store went back
    begin(listener, board)
    said = await listener.take() or b""
    assert said.count(b'"n":3,') == said.count(b"event: bar") == 1
    assert said.endswith(b"event: live\ndata: {}\n\n")


async def test_what_is_not_begun_is_not_sent(
    board_and_listener: tuple[Board, Listener],
) -> None:
    board, listener = board_and_listener
    added = add_6(board, listener)
    board.take([changed(6, -1, 1), changed(6, 0, 2), changed(4, 0, 3)])
    assert await taken(listener) == [(4, 0, 3)]
    listener.begin(added, board.newest_bars(added), [])
    board.take([changed(6, 0, 10)])
    # Those that came in the meantime are not older than the snapshot.
    assert await taken(listener) == [(6, -1, 1), (6, 0, 10)]


async def test_a_snapshot_says_whether_a_bar_is_closed_by_now() -> None:
    now_ms = RUNNING_S * 1000
    board, listener = Board(lambda: now_ms), listener_of(4)
    board.add(listener, listener.subscribed)
    board.take([changed(4, 0, 1)])
    ((_, frame),) = board.newest_bars(listener.subscribed)
    assert not frame.content.closed
    now_ms += 60_000
    ((_, frame),) = board.newest_bars(listener.subscribed)
    assert frame.content.closed


async def test_minutes_that_a_slow_client_does_not_get_are_a_gap(
    board_and_listener: tuple[Board, Listener],
) -> None:
    board, listener = board_and_listener
    board.take([changed(4, minute, 1) for minute in range(-2 * PENDING_MOST, 1)])
    first, *bars = (await listener.take() or b"").split(b"\n\n")[:-1]
    start, end = ((RUNNING_S - 60 * n) * 1000 for n in (2 * PENDING_MOST, MINUTES_HELD))
    assert first.decode() == f'event: gap\ndata: {{"start":{start},"end":{end}}}'
    assert len(bars) == MINUTES_HELD + 1
    board.take([changed(4, 0, 2)])
    assert b"gap" not in (await listener.take() or b"")


async def test_an_instrument_that_nobody_listens_to_is_forgotten() -> None:
    board, one, other = Board(lambda: NOW_MS), listener_of(4, 5), listener_of(5)
    board.add(one, one.subscribed)
    board.add(other, other.subscribed)
    board.remove(one, one.subscribed)
    assert len(board) == 1
    board.remove(other, other.subscribed)
    assert len(board) == 0


changes = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 9)), max_size=80)


@given(changes)
async def test_a_slow_client_gets_the_last_state_of_the_newest_minutes_and_a_gap_for_the_others(
    minutes: list[tuple[int, int]],
) -> None:
    board, listener = Board(lambda: NOW_MS), listener_of(1, 2, 3)
    board.add(listener, listener.subscribed)
    begin(listener, board)
    await listener.take()
    last: dict[tuple[int, int], int] = {}
    for n, (instrument, minute) in enumerate(minutes, start=1):
        board.take([changed(instrument, minute, n)])
        last[instrument, minute] = n
    if not minutes:
        return
    said = await listener.take() or b""
    received = bars_in(said)
    states = {(instrument, minute): n for instrument, minute, n in received}
    assert len(received) == len(states) <= PENDING_MOST * 3
    assert states.items() <= last.items()
    missing = [minute for at, minute in last if (at, minute) not in states]
    assert (b"event: gap" in said) == bool(missing)
    if missing:
        gap = msgspec.json.decode(said.split(b"\n")[1].removeprefix(b"data: "))
        start, end = ((gap[name] // 1000 - RUNNING_S) // 60 for name in ("start", "end"))
        assert start <= min(missing) <= max(missing) < end
    for instrument in {i for i, _ in last}:
        newest = sorted(m for i, m in last if i == instrument)[-MINUTES_HELD:]
        assert {(instrument, minute) for minute in newest} <= states.keys()
