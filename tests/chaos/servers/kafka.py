"""Apache Kafka, of one node or three, each of which may fail alone."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from infra.local.kafka.secured import Security, listening
from infra.local.kafka.server import kafka
from infra.local.process import LOOPBACK, Server, free_port
from tests.chaos.proxy import Link, Network
from tests.chaos.servers.restartable import Restartable

# Two of three nodes acknowledge a record: any one may fail.
_REPLICATED: Final = {
    "default.replication.factor": 3,
    "min.insync.replicas": 2,
    "offsets.topic.replication.factor": 3,
    "transaction.state.log.replication.factor": 3,
    "transaction.state.log.min.isr": 2,
    "share.coordinator.state.topic.replication.factor": 3,
    "share.coordinator.state.topic.min.isr": 2,
    # The default would be half a minute, in which a hung follower holds up every record.
    "replica.lag.time.max.ms": 5000,
}


class Kafka(NamedTuple):
    """The brokers of a run, and the links to them."""

    bootstrap_servers: str
    ways: list[tuple[str, Link | None]]
    """of each worker: the addresses that it knows, and the proxies that listen there"""
    servers: list[Restartable]
    """broker n+1 at place n; none if they are not the run's own: then they must not fail"""


def borrowed_kafka(address: str, workers: int) -> Kafka:
    """Return a broker that is not the run's own; everybody reaches it directly."""
    return Kafka(address, [(address, None)] * workers, [])


def own_kafka(
    folder: Path,
    network: Network,
    workers: int,
    brokers: int = 1,
    security: Security | None = None,
) -> Kafka:
    """Apache Kafka, with a proxy for each worker and node.

    Clients go on at the address that a broker advertises, so each proxy has a listener of its own.
    With `security`, workers log in there.
    """
    folders = [folder / str(n) for n in range(1, brokers + 1)]
    users = security.scram() if security else ()
    servers = [Restartable(_tidy(kafka(free_port(), one, storage=users), one)) for one in folders]
    ports = [[free_port() for _ in range(workers)] for _ in servers]
    links = [
        Link([network.proxy(of_node[worker]) for of_node in ports]) for worker in range(workers)
    ]
    for node, (of_node, of_folder) in enumerate(zip(ports, folders, strict=True)):
        advertised = [link.addresses[node] for link in links]
        _add_listeners(of_folder / "kafka.properties", of_node, advertised, security)
    if brokers > 1:
        _join([one / "kafka.properties" for one in folders])
    ways = [(",".join(link.addresses), link) for link in links]
    return Kafka(",".join(server.address for server in servers), [*ways], servers)


def _tidy(server: Server, folder: Path) -> Server:
    """Let the JVM unpack its libraries where a kill does not leave them behind."""
    environment = {"JAVA_TOOL_OPTIONS": f"-Djava.io.tmpdir={folder}"}
    return replace(server, command=replace(server.command, environment=environment))


def _add_listeners(
    file: Path, ports: list[int], ways: list[str], security: Security | None
) -> None:
    names = [f"WORKER{n}" for n in range(len(ports))]
    listeners = [f"//{LOOPBACK}:{port}" for port in ports]
    properties = _read(file)
    _extend(properties, "listeners", zip(names, listeners, strict=True))
    _extend(properties, "advertised.listeners", zip(names, (f"//{w}" for w in ways), strict=True))
    protocol = "SASL_SSL" if security else "PLAINTEXT"
    _extend(properties, "listener.security.protocol.map", ((name, protocol) for name in names))
    if security:
        properties |= listening(security, names)
    _write(file, properties)


def _join(files: list[Path]) -> None:
    """Make one cluster of nodes that were formatted alone: the same id, voters and replicas."""
    all_properties = [_read(file) for file in files]
    voters = ",".join(
        f"{node}@{properties['controller.quorum.voters'].split('@')[1]}"
        for node, properties in enumerate(all_properties, 1)
    )
    for node, (file, properties) in enumerate(zip(files, all_properties, strict=True), 1):
        properties |= {"node.id": str(node), "controller.quorum.voters": voters}
        properties |= {name: str(value) for name, value in _REPLICATED.items()}
        _write(file, properties)
        meta = Path(properties["log.dirs"]) / "meta.properties"
        _write(meta, _read(meta) | {"node.id": str(node)})


def _extend(properties: dict[str, str], name: str, pairs: Iterable[tuple[str, str]]) -> None:
    """Add `name:value` pairs to a property that is a list of them."""
    properties[name] += "".join(f",{key}:{value}" for key, value in pairs)


def _read(file: Path) -> dict[str, str]:
    lines = file.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def _write(file: Path, properties: Mapping[str, str]) -> None:
    file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
