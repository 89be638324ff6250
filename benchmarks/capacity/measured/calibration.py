"""Unit costs fitted to runs, so that they explain these runs. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import nnls

from benchmarks.capacity.costs import (
    BenchCosts,
    Costs,
    EventCosts,
    FeedCosts,
    KeyCosts,
    ReadCosts,
    Request,
    StoreCosts,
)
from benchmarks.capacity.measured.asking import Offer
from benchmarks.capacity.measured.folding import Acted, Drained
from benchmarks.capacity.simulated.streams import EVENT_BYTES, distinct
from benchmarks.keepup.report import Trial
from benchmarks.reads.answered import Answered
from contracts.messages import Floats

_US: Final = 1e6
_PARTITIONS: Final = 8
_FETCHES_A_SECOND: Final = 20
"""of a feed so slow that the broker waits its longest for each"""
_FETCH_BYTES: Final = 1 << 20
_STALLED_ABOVE: Final = 3.0
"""times the median"""
_QUANTILES: Final = 40
_TURNS_ALONE: Final = 2
"""of a request that is alone: it comes, and Redis answers"""
_HOPS: Final = 4
"""of a request that is alone: to the process, to Redis and back, and back"""
_FEW_EVENTS_ITEMS: Final = 1
_OF_LISTS: Final = ("similar", "recommendations")


@dataclass(frozen=True, slots=True)
class Runs:
    """All that costs are taken from."""

    drained: Sequence[Drained]
    followed: Trial
    acted: Sequence[Acted]
    alone: Offer
    saturated: Mapping[str, Answered]
    published: Offer
    store: StoreCosts
    keys: KeyCosts


def calibrated(runs: Runs, measured: str) -> Costs:
    """Return the costs that explain the runs."""
    events = event_costs(runs.acted)
    return Costs(
        measured=measured,
        feed=feed_costs(runs.drained, runs.followed, events),
        events=events,
        reads=read_costs(runs.alone, runs.saturated, runs.published, runs.store),
        keys=runs.keys,
        bench=bench_costs(runs.alone, runs.saturated["bars"], runs.followed),
    )


def feed_costs(drained: Sequence[Drained], followed: Trial, events: EventCosts) -> FeedCosts:
    """Return the least squares of the worker's CPU over quotes, batches and bars, none negative."""
    rows = [_drained_row(one) for one in drained]
    cpu_us = [one.run.cpu_s["worker"] * _US for one in drained]
    of_events_us = (
        followed.load.events_per_s
        * followed.load.seconds
        * (events.worker_us + events.worker_item_us * _FEW_EVENTS_ITEMS)
    )
    rows.append(_followed_row(followed))
    cpu_us.append(followed.cpu_s["worker"] * _US - of_events_us)
    # Each run weighs the same, however long it took.
    scale = 1 / np.array(cpu_us)
    fitted, _ = nnls(np.array(rows) * scale[:, None], np.ones(len(rows)))
    record_us, batch_us, value_us = fitted.tolist()
    last = drained[-1]
    touched = last.values + last.instruments
    quotes = followed.load.quotes_per_s * followed.load.seconds
    return FeedCosts(
        record_us=record_us,
        batch_us=batch_us,
        value_us=value_us,
        store_value_us=last.run.cpu_s["store"] * _US / touched,
        store_call_us=last.run.cpu_s["store"] / last.calls * _US,
        broker_us=float(np.mean([d.run.cpu_s["broker"] / d.run.records for d in drained])) * _US,
        broker_live_us=followed.cpu_s["broker"] * _US / quotes,
        log_bytes=float(np.mean([one.log_bytes for one in drained])),
    )


def _drained_row(one: Drained) -> tuple[float, float, float]:
    """Return the quotes, batches and bars of a run; each instrument's bar is read once, too."""
    batches = _PARTITIONS + one.run.records * one.log_bytes / _FETCH_BYTES
    return one.run.records, batches, one.values + one.instruments


def _followed_row(trial: Trial) -> tuple[float, float, float]:
    load = trial.load
    bars = distinct(load.quotes_per_s, load.instruments) * load.seconds + load.instruments
    batches = _FETCHES_A_SECOND * _PARTITIONS * load.seconds
    return load.quotes_per_s * load.seconds, batches, bars


def event_costs(acted: Sequence[Acted]) -> EventCosts:
    """Return the straight lines through the runs of fewest and of most items."""
    few, many = acted[0], acted[-1]
    apart = many.items - few.items

    def line(at_few: float, at_many: float) -> tuple[float, float]:
        slope = max(0.0, (at_many - at_few) / apart)
        return max(0.0, at_few - slope * few.items), slope

    def cpu_us(one: Acted, who: str) -> float:
        return one.run.cpu_s[who] / one.run.records * _US

    worker_us, worker_item_us = line(cpu_us(few, "worker"), cpu_us(many, "worker"))
    store_us, store_item_us = line(cpu_us(few, "store"), cpu_us(many, "store"))
    broker_us, broker_item_us = line(cpu_us(few, "broker"), cpu_us(many, "broker"))
    log_bytes, log_item_bytes = line(few.log_bytes, many.log_bytes)
    return EventCosts(
        worker_us=worker_us,
        worker_item_us=worker_item_us,
        store_us=store_us,
        store_item_us=store_item_us,
        broker_us=broker_us,
        broker_item_us=broker_item_us,
        log_bytes=max(EVENT_BYTES, log_bytes),
        log_item_bytes=log_item_bytes,
    )


def read_costs(
    alone: Offer, saturated: Mapping[str, Answered], published: Offer, store: StoreCosts
) -> ReadCosts:
    """Return a + b / batch through a batch of one and one that is so large that b is gone."""
    full = saturated["bars"]
    api_us = full.cpu_s["server"] / full.records * _US
    turn_us = max(0.0, alone.cpu_us["server"] - api_us) / _TURNS_ALONE
    body_s, stalls_s = split(alone.offered.latency_s)
    own_us = alone.offered.own_cpu_s / len(alone.offered.latency_s) * _US
    working_us = alone.cpu_us["server"] + alone.cpu_us["store"] + own_us
    return ReadCosts(
        turn_us=turn_us,
        store=store,
        wake_us=max(0.0, float(body_s.mean()) * _US - working_us) / _HOPS,
        shape=tuple((_quantiles(body_s) / body_s.mean()).tolist()),
        stalls_per_s=len(stalls_s) / alone.offered.seconds,
        stalls_us=tuple((_quantiles(stalls_s - np.median(body_s)) * _US).tolist()) or (0.0,),
        endpoints={
            **{
                name: Request(
                    one.cpu_s["server"] / one.records * _US,
                    one.cpu_s["store"] / one.records * _US,
                    is_pointed=name in _OF_LISTS,
                )
                for name, one in saturated.items()
            },
            "publish": Request(published.cpu_us["server"], 0.0),
        },
    )


def bench_costs(alone: Offer, full: Answered, followed: Trial) -> BenchCosts:
    """Return what the tools of load take of this machine."""
    quotes = followed.load.quotes_per_s * followed.load.seconds
    return BenchCosts(
        asking_us=full.cpu_s["load"] / full.records * _US,
        offering_us=alone.offered.own_cpu_s / len(alone.offered.latency_s) * _US,
        publishing_us=followed.cpu_s["publisher"] / quotes * _US,
        looking_cores=(followed.cpu_s["prober"] + followed.cpu_s["api"]) / followed.load.seconds,
    )


def split(latency_s: Floats) -> tuple[Floats, Floats]:
    """Return the latencies of a process that worked, and those in which it stood still.

    >>> split(np.array([1.0, 1.1, 0.9, 8.0]))
    (array([1. , 1.1, 0.9]), array([8.]))
    """
    stalled = latency_s > _STALLED_ABOVE * np.median(latency_s)
    return latency_s[~stalled], latency_s[stalled]


def _quantiles(values: Floats) -> Floats:
    """Return values that stand for all of them, each for the same share."""
    if len(values) <= _QUANTILES:
        return values
    found: Floats = np.quantile(values, (np.arange(_QUANTILES) + 0.5) / _QUANTILES)
    return found
