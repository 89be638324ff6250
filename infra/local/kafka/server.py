"""Starts Apache Kafka here: one node that is broker and controller (KRaft)."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from infra.local.kafka.jars import NoKafkaError, jars, version
from infra.local.process import LOOPBACK, Command, Server, free_port
from runtime.kafka import broker
from runtime.kafka.config import plain

_LOGGING: Final = Path(__file__).with_name("log4j2.yaml")
_CLUSTER_ID: Final = "tickrec-local-kafka-000"
# A small heap, and the collector for few cores; records bypass the heap anyway.
_JVM: Final = (
    *("java", "-Xms256m", "-Xmx768m", "-XX:+UseSerialGC"),
    f"-Dlog4j2.configurationFile={_LOGGING}",
)
_PROPERTIES: Final = f"""\
process.roles=broker,controller
node.id=1
listeners=BROKER://{LOOPBACK}:{{port}},CONTROLLER://{LOOPBACK}:{{controller_port}}{{more}}
advertised.listeners=BROKER://{LOOPBACK}:{{port}}{{more}}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT{{protocols}}
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
controller.quorum.voters=1@{LOOPBACK}:{{controller_port}}
log.dirs={{data}}
auto.create.topics.enable=false
# A killed broker can only come back after its old session has expired; the default is 9 s.
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""


def kafka(
    port: int,
    folder: Path,
    *,
    data: Path | None = None,
    listeners: Mapping[str, tuple[str, str]] | None = None,
    properties: Mapping[str, str] | None = None,
    storage: Sequence[str] = (),
) -> Server:
    """Apache Kafka on the data in a folder, created if missing.

    It may be stopped or killed, and restarted on the same data.

    Args:
        port: of the listener without a login.
        folder: for settings and log.
        data: the folder of its data, by default `kafka` in `folder`.
        listeners: additional ones: name -> host:port and protocol.
        properties: additional broker settings.
        storage: options for formatting its storage.

    Raises:
        NoKafkaError: it is unavailable or cannot run here; says why.
    """
    data, file = data or folder / "kafka", folder / "kafka.properties"
    folder.mkdir(parents=True, exist_ok=True)
    more = {name: f",{name}://{address}" for name, (address, _) in (listeners or {}).items()}
    protocols = "".join(f",{name}:{of}" for name, (_, of) in (listeners or {}).items())
    text = _PROPERTIES.format(
        port=port,
        controller_port=free_port(),
        data=data,
        more="".join(more.values()),
        protocols=protocols,
    )
    file.write_text(text + "".join(f"{k}={v}\n" for k, v in (properties or {}).items()))
    java = (*_JVM, "-cp", f"{jars()}/*")
    if not (data / "meta.properties").exists():
        _format(java, file, storage)
    address = f"{LOOPBACK}:{port}"
    command = Command(
        name="broker",
        argv=(*java, "kafka.Kafka", str(file)),
        log=folder / "broker.log",
        grace_s=20,
    )
    client = broker.Admin(plain(address))
    return Server(
        command,
        address,
        f"Apache Kafka {version()}",
        lambda: broker.answers(client),
    )


def _format(java: tuple[str, ...], properties: Path, options: Sequence[str]) -> None:
    tool = ("kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(properties), *options)
    # It runs for a second: compiling much of it would take longer than it saves.
    command = [*java, "-XX:TieredStopAtLevel=1", *tool]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoKafkaError(f"Kafka could not format its storage: {done.stderr or done.stdout}")
