"""Measures how long a quote takes to be readable.

A few instruments quote once a second, published here. The price of a quote is its number, and it
counts as readable when `GET /v1/instruments/{id}/bars` has answered with its price or that of a
later one. The latency runs from the call that publishes to the end of that answer, by one clock.
One probe at a time, at a fixed rate, so that probing costs the API the same however many quotes are
pending; the interval between the probes of a quote is part of the result, since a latency may be
too long by that much.
"""

import http.client
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from benchmarks.harness.publish import connected, produce
from contracts.messages import Quote, encode, key_of
from contracts.topics import QUOTES
from infra.local.process import LOOPBACK

LOOK_EVERY_S: Final = 1 / 400
_GIVE_UP_S: Final = 10
"""after the last quote: what is not readable by then counts with its age"""
_TIMEOUT_S: Final = 5
# A quote may become readable after its minute is over: the bar before the running one counts, too.
_BARS: Final = 2


class Waiting:
    """The quotes that are not readable yet, by instrument."""

    def __init__(self, instruments: Sequence[int]) -> None:
        self.sent = 0
        self.at_s: list[float] = []
        """when each quote that became readable was published"""
        self.latency_s: list[float] = []
        self._instruments = instruments
        self._quotes: dict[int, deque[tuple[int, float]]] = {i: deque() for i in instruments}
        self._turn = deque(instruments)

    def send(self, now_s: float) -> tuple[int, int]:
        """Return the next instrument that quotes, and the number of the quote."""
        self.sent += 1
        instrument = self._instruments[self.sent % len(self._instruments)]
        self._quotes[instrument].append((self.sent, now_s))
        return instrument, self.sent

    def next(self) -> int | None:
        """Return the instrument to look at, in turn; None if nothing is waited for."""
        for _ in self._instruments:
            self._turn.rotate(-1)
            if self._quotes[self._turn[0]]:
                return self._turn[0]
        return None

    def seen(self, instrument: int, number: float, now_s: float) -> None:
        """Take the quotes up to a number for readable."""
        quotes = self._quotes[instrument]
        while quotes and quotes[0][0] <= number:
            sent_s = quotes.popleft()[1]
            self.at_s.append(sent_s)
            self.latency_s.append(now_s - sent_s)

    def give_up(self, now_s: float) -> int:
        """Note the age of what is still waited for, and return how much that is."""
        left = sum(map(len, self._quotes.values()))
        for instrument in self._instruments:
            self.seen(instrument, self.sent, now_s)
        return left


class _Bar(msgspec.Struct):
    c: float


class _Bars(msgspec.Struct):
    bars: list[_Bar]


_decode: Final = msgspec.json.Decoder(_Bars).decode


class Prober:
    """Publishes quotes, and looks for them over one connection."""

    def __init__(self, bootstrap_servers: str, port: int, instruments: Sequence[int]) -> None:
        self.waiting = Waiting(instruments)
        self._looks = 0
        self._refused = 0
        self._per_s = len(instruments)
        self._producer = connected(bootstrap_servers)
        self._api = http.client.HTTPConnection(LOOPBACK, port, timeout=_TIMEOUT_S)
        self.start()

    def start(self) -> None:
        """Count the time from now on."""
        self._began_s = time.perf_counter()

    def now_s(self) -> float:
        """Return the seconds since the start."""
        return time.perf_counter() - self._began_s

    def publish(self) -> None:
        """Publish the next quote, if it is due."""
        now_s = self.now_s()
        if self.waiting.sent <= now_s * self._per_s:
            instrument, number = self.waiting.send(now_s)
            now_ms = time.time_ns() // 1_000_000
            quote = Quote(instrument_id=instrument, price=float(number), size=1, ts=now_ms)
            produce(self._producer, QUOTES.name, key_of(quote), encode(quote))

    def look(self) -> bool:
        """Look at one instrument; return whether there was anything to wait for."""
        self._producer.poll(0)
        instrument = self.waiting.next()
        if instrument is None:
            return False
        self._looks += 1
        self._api.request("GET", f"/v1/instruments/{instrument}/bars?limit={_BARS}")
        answer = self._api.getresponse()
        body = answer.read()
        if answer.status == http.client.OK:
            price = max((bar.c for bar in _decode(body).bars), default=0.0)
            self.waiting.seen(instrument, price, self.now_s())
        self._refused += answer.status >= http.client.INTERNAL_SERVER_ERROR
        return True

    def finish(self) -> dict[str, float]:
        """Look until all is readable, or it is time to give up; return how it was looked.

        `look_every_s` is the mean time between two looks at a quote that is waited for, `refused`
        are looks that were answered with an error of the server's.
        """
        ends_s = self.now_s() + _GIVE_UP_S
        while self.now_s() < ends_s and self.look():
            time.sleep(LOOK_EVERY_S)
        unreadable = self.waiting.give_up(self.now_s())
        return {
            "looks": self._looks,
            "look_every_s": sum(self.waiting.latency_s) / max(1, self._looks),
            "refused": self._refused,
            "unreadable": unreadable,
        }
