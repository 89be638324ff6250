"""All kinds of faults, their frequencies, and the plan of a run."""

import random
from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

from tests.chaos.faults import brokers, clusters, logs, stores, workers
from tests.chaos.faults.workers import Seconds
from tests.chaos.modes import Mode
from tests.chaos.world import World

_FEW: Final = 10
"""A run of so few faults has none of those that happen once."""


def _in_a_cluster(mode: Mode) -> bool:
    return mode.store == "cluster"


def _among_brokers(mode: Mode) -> bool:
    return mode.brokers > 1


def _with_patience(mode: Mode) -> bool:
    return mode.long_outages


class Kind(NamedTuple):
    """A kind of fault."""

    begin: Callable[[World, random.Random], Seconds]
    weight: int
    """how often, to the others; 0 once a run"""
    holds: frozenset[str] = frozenset()
    """what no other fault may touch until this one has ended"""
    happens: Callable[[Mode], bool] = lambda _: True


_FLEET, _BROKER, _STORE, _LOG = (frozenset({held}) for held in ("fleet", "broker", "store", "log"))

KINDS: Final[Mapping[str, Kind]] = {
    "kill a worker": Kind(workers.kill_worker, 6),
    "kill a worker at a write": Kind(workers.kill_worker_at_a_write, 6),
    "zombie": Kind(workers.make_zombie, 5),
    "add or remove a worker": Kind(workers.add_or_remove_worker, 8, _FLEET),
    "clock jump": Kind(workers.jump_clock, 4),
    "restart a broker": Kind(brokers.restart_broker, 4, _BROKER),
    "pause a broker": Kind(brokers.pause_broker, 3, _BROKER),
    "cut from the brokers": Kind(brokers.cut_from_broker, 4),
    "cut from the coordinator": Kind(brokers.cut_from_coordinator, 4, _BROKER, _among_brokers),
    "restart the store": Kind(stores.restart_store, 5, _STORE),
    "restart the store in a flush": Kind(stores.restart_store_in_a_flush, 5, _STORE),
    "slow store": Kind(stores.slow_store, 3, frozenset({"speed"})),
    "cut from the store": Kind(stores.cut_from_store, 7),
    "cut from a node of the store": Kind(stores.cut_from_node, 4, happens=_in_a_cluster),
    "out of memory": Kind(stores.run_out_of_memory, 3, _STORE),
    "too few replicas": Kind(stores.ask_for_more_replicas, 2, _STORE),
    "full disk": Kind(stores.fill_disk, 3, _STORE),
    "failover": Kind(clusters.fail_over, 5, _STORE, _in_a_cluster),
    "failover in a flush": Kind(clusters.fail_over_in_a_flush, 5, _STORE, _in_a_cluster),
    "hand over": Kind(clusters.hand_over, 3, _STORE, _in_a_cluster),
    "reshard": Kind(clusters.reshard, 6, _STORE, _in_a_cluster),
    "topic recreated": Kind(logs.recreate_topic, 3, _BROKER | _STORE | _LOG),
    "log cut": Kind(logs.cut_log, 3, _BROKER | _STORE | _LOG),
    "transaction": Kind(logs.transact, 6, _LOG),
    "open transaction": Kind(logs.leave_transaction_open, 3, _LOG),
    "unreadable record": Kind(logs.poison, 6, _LOG),
    "chosen ids": Kind(logs.choose_ids, 0),
    "skewed erasure": Kind(logs.skew_erasure, 4),
    "lose the store": Kind(stores.lose_store, 0, _STORE),
    "no store for long": Kind(stores.stop_store_for_long, 0, _STORE, _with_patience),
    "no broker for long": Kind(brokers.cut_from_broker_for_long, 0, happens=_with_patience),
}


def plan(seed: int, n: int, mode: Mode, only: Collection[str] | None = None) -> list[str]:
    """Return the kinds of the faults of a run, in order; each that comes once, if n > 10.

    Args:
        seed: of the choice.
        n: how many faults.
        mode: decides which kinds can happen.
        only: kinds to choose from, each as often as the others.
    """
    rng = random.Random(seed)
    if only:
        return rng.choices(sorted(only), k=n)
    possible = {name: kind for name, kind in KINDS.items() if kind.happens(mode)}
    kinds = rng.choices(list(possible), [kind.weight for kind in possible.values()], k=n)
    if n > _FEW:
        once = [name for name, kind in possible.items() if not kind.weight]
        for place, name in zip(rng.sample(range(n // 3, n), len(once)), once, strict=True):
            kinds[place] = name
    return kinds
