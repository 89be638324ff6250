"""The time and the CPU of a step that runs in this process."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from benchmarks.harness.cpu import read_clock, spent
from benchmarks.harness.rounds import Run


@contextmanager
def timed(runs: dict[str, Run], name: str, records: int, pids: Mapping[str, int]) -> Iterator[None]:
    """Put what the block took into `runs`: the work of so many records, and CPU by process."""
    before, began = read_clock(pids), time.perf_counter()
    yield
    seconds = time.perf_counter() - began
    runs[name] = Run(records, seconds, spent(before, read_clock(pids)))
