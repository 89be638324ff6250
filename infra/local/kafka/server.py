"""How to start Apache Kafka here: one node that is broker and controller (KRaft)."""

import subprocess
from pathlib import Path
from typing import Final

from infra import broker
from infra.local.kafka.jars import NoKafkaError, jars, version
from infra.local.process import LOOPBACK, Command, Server, free_port

_LOGGING: Final = Path(__file__).with_name("log4j2.yaml")
_CLUSTER_ID: Final = "tickrec-local-kafka-000"
# A small heap, and the collector for few cores; a record's way is off the heap anyway.
_JVM: Final = (
    *("java", "-Xms256m", "-Xmx768m", "-XX:+UseSerialGC"),
    f"-Dlog4j2.configurationFile={_LOGGING}",
)
_PROPERTIES: Final = f"""\
process.roles=broker,controller
node.id=1
listeners=BROKER://{LOOPBACK}:{{port}},CONTROLLER://{LOOPBACK}:{{controller_port}}
advertised.listeners=BROKER://{LOOPBACK}:{{port}}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
controller.quorum.voters=1@{LOOPBACK}:{{controller_port}}
log.dirs={{data}}
auto.create.topics.enable=false
# A killed broker may only come back when its old session is over; 9 s would be the default.
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


def kafka(port: int, folder: Path) -> Server:
    """Apache Kafka on the data in `folder/kafka`, made there if there is none; its log beside it.

    It may be stopped or killed, and started again on the same data.

    Raises:
        NoKafkaError: it cannot be had or run here, and why.
    """
    data, properties = folder / "kafka", folder / "kafka.properties"
    folder.mkdir(parents=True, exist_ok=True)
    properties.write_text(_PROPERTIES.format(port=port, controller_port=free_port(), data=data))
    java = (*_JVM, "-cp", f"{jars()}/*")
    if not (data / "meta.properties").exists():
        _format(java, properties)
    address = f"{LOOPBACK}:{port}"
    command = Command(
        name="broker",
        argv=(*java, "kafka.Kafka", str(properties)),
        log=folder / "broker.log",
        grace_s=20,
    )
    client = broker.admin(address)
    return Server(
        command,
        address,
        f"Apache Kafka {version()}",
        lambda: broker.answers(client),
    )


def _format(java: tuple[str, ...], properties: Path) -> None:
    tool = ("kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(properties))
    done = subprocess.run([*java, *tool], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoKafkaError(f"Kafka could not format its storage: {done.stderr or done.stdout}")
