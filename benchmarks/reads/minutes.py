"""Minute bars of all instruments that keep up with the clock while a benchmark runs.

They are written between its runs: a run finds the bars of the minute in which it ends, too.
"""

import time
from typing import Final

import msgspec
import numpy as np

from benchmarks.harness.bulk import write
from contracts.bars import BarValue
from contracts.keyspace import NEWEST_FIELD, Keyspace
from contracts.log_position import LogPosition
from contracts.partitioning import instrument_partitions
from contracts.times import MINUTE_S
from runtime.topology import Topology

KEPT: Final = 6
"""minutes before the first run: one more than an answer has"""
_QUOTES: Final = 60

_encode = msgspec.json.Encoder().encode


class Minutes:
    """Writes the bars of instruments `0 .. n - 1`."""

    def __init__(
        self, address: str, keyspace: Keyspace, topology: Topology, instruments: int, seed: int
    ) -> None:
        ids = np.arange(instruments)
        partitions = instrument_partitions(ids, topology.quotes).tolist()
        self._keys = [keyspace.bars(p, i) for i, p in zip(ids.tolist(), partitions, strict=True)]
        self._address = address
        self._rng = np.random.default_rng(seed)
        self._price = self._rng.uniform(5, 500, instruments)
        self._next_s = (int(time.time()) // MINUTE_S - KEPT + 1) * MINUTE_S

    def cover(self, seconds: float) -> None:
        """Write what is missing of the minutes up to that in which so many seconds are over."""
        while self._next_s <= time.time() + seconds:
            self._write(self._next_s)
            self._next_s += MINUTE_S

    def _write(self, minute_s: int) -> None:
        bars = zip(self._keys, self._bars(minute_s), strict=True)
        write(
            self._address,
            (("HSET", key, minute_s, value, NEWEST_FIELD, minute_s) for key, value in bars),
        )

    def _bars(self, minute_s: int) -> list[bytes]:
        """Return an encoded bar of each instrument, after a step of its price."""
        rng, before = self._rng, self._price
        self._price = before * np.exp(1e-3 * rng.standard_normal(len(before)))
        opens, closes = np.round(before, 2), np.round(self._price, 2)
        highs = np.round(np.maximum(opens, closes) * 1.001, 2)
        lows = np.round(np.minimum(opens, closes) * 0.999, 2)
        volumes = rng.integers(1_000, 100_000, len(before)).astype(float)
        columns = (opens, highs, lows, closes, volumes, volumes * (highs + lows) / 2)
        start_ms, end_ms = minute_s * 1000, minute_s * 1000 + 59_999
        return [
            _encode(
                BarValue(o=o, h=h, l=low, c=c, v=v, n=_QUOTES, pv=pv, ot=start_ms, ct=end_ms,
                         off=LogPosition(0, minute_s))
            )
            for o, h, low, c, v, pv in zip(*(one.tolist() for one in columns), strict=True)
        ]  # fmt: skip
