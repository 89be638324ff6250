"""Measures how long a quote takes to be readable: `python -m benchmarks.prober TASK`, see `child`.

A few instruments quote once a second, published here. The price of a quote is its number, and it
counts as readable when `GET /v1/instruments/{id}/bars` has answered with its price or that of a
later one. The latency runs from the call that publishes to the end of that answer, by one clock.
One look at a time, at a fixed rate, so that looking costs the API the same however many quotes are
waited for; how long apart the looks at a quote were is part of the result, since a latency is too
long by up to that much.
"""

import http.client
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec
from confluent_kafka import Producer

from benchmarks.child import await_go, read_task, say
from contracts.messages import Quote, encode, key_of
from contracts.partitioning import LIBRDKAFKA_PARTITIONER
from contracts.topics import QUOTES

LOOKS_PER_S: Final = 400
_GIVE_UP_S: Final = 10
"""after the last quote: what is not readable by then counts with its age"""
_TIMEOUT_S: Final = 5
# A quote may become readable after its minute is over: the bar before the running one counts, too.
_BARS: Final = 2


class Probing(msgspec.Struct, frozen=True):
    """What to publish and where to look for it."""

    bootstrap_servers: str
    host: str
    port: int
    instruments: list[int]
    seconds: float


class Probed(msgspec.Struct, frozen=True):
    """The latencies, in the order in which their quotes became readable."""

    at_s: list[float]
    """when the quote was published, seconds from the beginning"""
    latency_s: list[float]
    unreadable: int
    """the last so many of them did not become readable: their latency is their age at the end"""
    looks: int
    refused: int
    """looks that were answered with an error of the server's"""
    look_every_s: float
    """mean time between two looks at a quote that is waited for"""


class _Bar(msgspec.Struct):
    c: float


class _Bars(msgspec.Struct):
    bars: list[_Bar]


_decode = msgspec.json.Decoder(_Bars).decode


class Waiting:
    """The quotes that are not readable yet, by instrument; pure but for what it is told."""

    def __init__(self, instruments: Sequence[int]) -> None:
        self._sent: dict[int, deque[tuple[int, float]]] = {i: deque() for i in instruments}
        self._turn = deque(instruments)
        self._number = 0
        self.at_s: list[float] = []
        self.latency_s: list[float] = []

    def send(self, now_s: float) -> tuple[int, int]:
        """Return the next instrument that quotes, and the number of the quote."""
        self._number += 1
        instruments = list(self._sent)
        instrument = instruments[self._number % len(instruments)]
        self._sent[instrument].append((self._number, now_s))
        return instrument, self._number

    def next(self) -> int | None:
        """Return the instrument to look at, in turn; None if nothing is waited for."""
        for _ in range(len(self._turn)):
            self._turn.rotate(-1)
            if self._sent[self._turn[0]]:
                return self._turn[0]
        return None

    def seen(self, instrument: int, number: int, now_s: float) -> None:
        """Take the quotes up to a number for readable."""
        sent = self._sent[instrument]
        while sent and sent[0][0] <= number:
            self._done(sent.popleft()[1], now_s)

    def give_up(self, now_s: float) -> int:
        """Note the age of what is still waited for, and return how much that is."""
        ages = [sent for quotes in self._sent.values() for _, sent in quotes]
        for sent_s in ages:
            self._done(sent_s, now_s)
        return len(ages)

    def _done(self, sent_s: float, now_s: float) -> None:
        self.at_s.append(sent_s)
        self.latency_s.append(now_s - sent_s)


class Api:
    """Looks at bars over one connection."""

    def __init__(self, host: str, port: int) -> None:
        self.looks = 0
        self.refused = 0
        self._connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)

    def last_price(self, instrument: int) -> float:
        """Return the latest price of the latest bars, 0 if there are none."""
        self.looks += 1
        self._connection.request("GET", f"/v1/instruments/{instrument}/bars?limit={_BARS}")
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status == http.client.OK:
            return max((bar.c for bar in _decode(body).bars), default=0.0)
        self.refused += answer.status >= http.client.INTERNAL_SERVER_ERROR
        return 0.0


def run(task: Probing, producer: Producer, api: Api) -> Probed:
    """Publish and look, until the time is over and all is readable."""
    waiting = Waiting(task.instruments)
    began, sent, now_s = time.perf_counter(), 0, 0.0
    while now_s < task.seconds + _GIVE_UP_S:
        now_s = time.perf_counter() - began
        if now_s < task.seconds and sent <= now_s * len(task.instruments):
            _publish(producer, *waiting.send(now_s))
            sent += 1
        producer.poll(0)
        instrument = waiting.next()
        if instrument is not None:
            number = int(api.last_price(instrument))
            waiting.seen(instrument, number, time.perf_counter() - began)
        elif now_s >= task.seconds:
            break
        rest_s = now_s + 1 / LOOKS_PER_S - (time.perf_counter() - began)
        time.sleep(max(0.0, rest_s))
    unreadable = waiting.give_up(time.perf_counter() - began)
    look_every_s = sum(waiting.latency_s) / max(1, api.looks)
    return Probed(waiting.at_s, waiting.latency_s, unreadable, api.looks, api.refused, look_every_s)


def _publish(producer: Producer, instrument: int, number: int) -> None:
    quote = Quote(
        instrument_id=instrument, price=float(number), size=1, ts=time.time_ns() // 1_000_000
    )
    producer.produce(QUOTES.name, encode(quote), key_of(quote))


def main() -> None:
    """Prepare, begin at the sign, say what came out."""
    task = read_task(Probing)
    producer = Producer(
        {
            "bootstrap.servers": task.bootstrap_servers,
            "partitioner": LIBRDKAFKA_PARTITIONER,
            "enable.idempotence": True,
            "linger.ms": 10,
        }
    )
    # Connects now, so that the first latencies are those of quotes and not of connections.
    producer.list_topics(timeout=_TIMEOUT_S)
    await_go()
    say(run(task, producer, Api(task.host, task.port)))


if __name__ == "__main__":
    main()
