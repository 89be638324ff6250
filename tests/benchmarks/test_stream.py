"""A client of live bars notes how old each was, what it missed, and what came twice."""

import asyncio
import time

import msgspec

from benchmarks.stream.clients import Client, Heard


def event(n: int, made_s: float) -> bytes:
    bar = msgspec.json.encode({"instrument_id": 4, "c": made_s, "n": n})
    return b"event: bar\ndata: " + bar + b"\n\n"


def heard(*chunks: bytes) -> tuple[Heard, Client]:
    async def listen() -> tuple[Heard, Client]:
        found, reader = Heard(), asyncio.StreamReader()
        client = Client(found, [4, 5])
        for chunk in chunks:
            reader.feed_data(chunk)
        reader.feed_eof()
        await client.listen(reader)
        return found, client

    return asyncio.run(listen())


def test_missing_states_are_lost_and_late_ones_are_out_of_order() -> None:
    now_s = time.time()
    found, client = heard(*(event(n, now_s - 1) for n in (1, 3, 2, 3)))
    assert (found.lost, found.disordered, found.ended) == (1, 2, 1)
    assert client.last == {4: 3, 5: 0}
    assert len(found.latency_s) == 4
    assert min(found.latency_s) >= 1


def test_a_bar_may_come_in_two_pieces_and_between_the_frames_of_chunks() -> None:
    whole = b"2f\r\n" + event(1, 0.0) + b"\r\n2f\r\n" + event(2, 0.0) + b"\r\n"
    found, client = heard(whole[:30], whole[30:])
    assert client.last[4] == 2
    assert (found.lost, found.disordered, len(found.latency_s)) == (0, 0, 2)
