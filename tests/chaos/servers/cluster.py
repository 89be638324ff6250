"""Valkey as a cluster: three masters with a third of the slots each, and a replica of each."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import redis
import tenacity
from redis.cluster import ClusterNode
from redis.exceptions import RedisError

from infra.local.process import LOOPBACK, free_port
from runtime.redis.stores import Store
from tests.chaos.modes import AppendFsync
from tests.chaos.servers.restartable import started
from tests.chaos.servers.store import CLIENT_OPTIONS, Node, Single

_MASTERS: Final = 3
_SLOTS: Final = 16384
# The faults decide who takes over, and when.
_OPTIONS: Final = (
    *("--cluster-enabled", "yes", "--cluster-replica-no-failover", "yes"),
    *("--cluster-node-timeout", "5000", "--repl-diskless-sync-delay", "0"),
)
_until = tenacity.Retrying(
    retry=tenacity.retry_if_exception_type((AssertionError, RedisError)),
    stop=tenacity.stop_after_delay(60),
    wait=tenacity.wait_fixed(0.05),
    reraise=True,
)


class Cluster(Single):
    """A store of six nodes."""

    def __init__(self, folder: Path, appendfsync: AppendFsync) -> None:
        self.nodes = []
        self._buses = [free_port() for _ in range(2 * _MASTERS)]
        for n, bus in enumerate(self._buses):
            # The bus's port would be the other one + 10,000, which may be none.
            options = (*_OPTIONS, "--cluster-port", str(bus))
            self.nodes.append(Node(folder / str(n), appendfsync, *options))
        self._is_formed = False

    def masters(self) -> list[Node]:
        return [node for node in self.nodes if node.info("replication")["role"] == "master"]

    def pairs(self) -> list[tuple[Node, Node]]:
        of_port = {node.port: node for node in self.nodes}
        said = [(node, node.info("replication")) for node in self.nodes]
        return [
            (of_port[replication["master_port"]], node)
            for node, replication in said
            if replication["role"] == "slave"
        ]

    def await_ready(self) -> None:
        """Return when all slots can be written to, and all replicas follow."""
        super().await_ready()
        if not self._is_formed:
            self._form()
            self._is_formed = True
        _until(self._check)

    def answers(self) -> bool:
        try:
            self._check()
        except (AssertionError, RedisError):
            return False
        return True

    def owner_of(self, slot: int) -> Node:
        for node in self.masters():
            if any(first <= slot <= last for first, last in _slots(node)):
                return node
        raise AssertionError(f"no master has slot {slot}")

    def client(self) -> Store:
        nodes = [ClusterNode(LOOPBACK, node.port) for node in self.nodes]
        return redis.RedisCluster(startup_nodes=nodes, **CLIENT_OPTIONS)

    def _check(self) -> None:
        """Raise AssertionError or RedisError if some of it is unhealthy."""
        for node in self.nodes:
            assert node.call("CLUSTER INFO")["cluster_state"] == "ok"
            replication = node.info("replication")
            assert replication.get("master_link_status", "up") == "up"
        assert len(self.pairs()) == _MASTERS

    def _form(self) -> None:
        first, *others = self.nodes
        for n, node in enumerate(self.nodes):
            node.call("CLUSTER SET-CONFIG-EPOCH", n + 1)
        for n, master in enumerate(self.nodes[:_MASTERS]):
            begin, end = (_SLOTS * k // _MASTERS for k in (n, n + 1))
            master.call("CLUSTER ADDSLOTSRANGE", begin, end - 1)
        for node, bus in zip(others, self._buses[1:], strict=True):
            first.call("CLUSTER MEET", LOOPBACK, node.port, bus)
        for master, replica in zip(self.nodes[:_MASTERS], self.nodes[_MASTERS:], strict=True):
            _until(replica.call, "CLUSTER REPLICATE", id_of(master))  # once it knows its master


@contextlib.contextmanager
def partial_cluster(folder: Path, appendfsync: AppendFsync) -> Iterator[Cluster]:
    """Run a cluster of which a part may be missing; no replica takes over."""
    its = Cluster(folder, appendfsync)
    with started(its):
        for node in its.nodes:
            node.call("CONFIG SET", "cluster-require-full-coverage", "no")
        yield its


def id_of(node: Node) -> str:
    return str(node.call("CLUSTER MYID"))


def _slots(node: Node) -> list[tuple[int, int]]:
    """Return the first and last slot of each range that a node says is its own."""
    of_address = node.call("CLUSTER NODES")
    (mine,) = (one for one in of_address.values() if "myself" in one["flags"])
    return [(int(slots[0]), int(slots[-1])) for slots in mine["slots"]]
