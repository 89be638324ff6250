"""A master and a replica that Sentinels watch over, encrypted or not."""

import contextlib
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import redis

from infra.local.process import LOOPBACK, Command, Server, free_port, running
from infra.local.store import valkey
from tests.patience import PATIENCE_S, eventually
from tests.runtime.redis.guarded import DOCUMENT, Guarded

SERVICE: Final = "shop"
PASSWORD: Final = "nodes-password"
OF_SENTINELS: Final = "sentinels-password"
ASKING: Final = "asking"
"""The user by which the programs ask Sentinels; with the documented rights."""
_SENTINELS: Final = 3
_QUORUM: Final = 2
_DOWN_AFTER_MS: Final = 1_000


@dataclass(frozen=True)
class WatchedOver:
    """Two nodes, of which one is the master, and three Sentinels."""

    ports: tuple[int, int]
    sentinels: tuple[int, ...]
    processes: dict[int, subprocess.Popen[bytes]]
    encryption: dict[str, Any]
    """redis-py's options of a connection; none: nothing is encrypted"""

    @property
    def url(self) -> str:
        """`REDIS_URL`."""
        scheme = "rediss+sentinel" if self.encryption else "redis+sentinel"
        hosts = ",".join(f"{LOOPBACK}:{port}" for port in self.sentinels)
        options = {"sentinel_username": ASKING, "sentinel_password": f"{ASKING}-password"}
        options |= {name: value for name, value in self.encryption.items() if name != "ssl"}
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"{scheme}://:{PASSWORD}@{hosts}/{SERVICE}/0?{query}"

    def master(self) -> int:
        """Return the port of the node that a Sentinel names as the master."""
        with _client(self.sentinels[0], OF_SENTINELS, self.encryption) as sentinel:
            named = sentinel.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", SERVICE)
        return int(named[1])

    def fail_over(self) -> None:
        """Kill the master, and wait until the other node is named in its place."""
        before = self.master()
        self.processes[before].send_signal(signal.SIGKILL)
        eventually(lambda: self.master() != before, "the other node is the master")

    def agree(self) -> bool:
        """Whether each Sentinel knows the others and a replica that has all data."""
        for port in self.sentinels:
            with _client(port, OF_SENTINELS, self.encryption) as sentinel:
                state = sentinel.sentinel_master(SERVICE)
            if (state["num-other-sentinels"], state["num-slaves"]) != (_SENTINELS - 1, 1):
                return False
        with _client(self.master(), PASSWORD, self.encryption) as master:
            said = master.info("replication")
        return bool(said["connected_slaves"] == 1 and said["slave0"]["state"] == "online")


@contextlib.contextmanager
def watched_over(folder: Path, certified: Guarded | None = None) -> Iterator[WatchedOver]:
    """Run them; all agree on who is the master.

    Args:
        folder: what they write is in it.
        certified: whose certificates they have, if they are to encrypt: then they are Redis, as
            Valkey of PyPI is built without TLS.
    """
    ports, sentinels = (free_port(), free_port()), tuple(free_port() for _ in range(_SENTINELS))
    encryption = certified.encryption() if certified else {}
    with contextlib.ExitStack() as stack:
        processes = {}
        for port in ports:
            replica = () if port == ports[0] else ("--replicaof", LOOPBACK, str(ports[0]))
            server = _node(port, folder / f"node-{port}", replica, encryption)
            processes[port] = stack.enter_context(running(server))
        for port in sentinels:
            server = _sentinel(port, folder / f"sentinel-{port}", ports[0], encryption)
            stack.enter_context(running(server))
        watched = WatchedOver(ports, sentinels, processes, encryption)
        eventually(watched.agree, "all agree on who is the master")
        yield watched


def _node(port: int, folder: Path, replica: tuple[str, ...], encryption: dict[str, Any]) -> Server:
    folder.mkdir()
    options = {
        **_listening(port, encryption),
        "dir": folder,
        "save": '""',
        "appendonly": "yes",
        "requirepass": PASSWORD,
        "masterauth": PASSWORD,
        "repl-diskless-sync-delay": 0,  # a replica gets its data at once, not after 5 s
    }
    return _server("node", port, PASSWORD, folder, options, replica, encryption)


def _sentinel(port: int, folder: Path, of_master: int, encryption: dict[str, Any]) -> Server:
    folder.mkdir()
    options = {
        **_listening(port, encryption),
        "dir": folder,
        "requirepass": OF_SENTINELS,
        "user": f"{ASKING} on >{ASKING}-password -@all {_rights()}",
        "sentinel monitor": f"{SERVICE} {LOOPBACK} {of_master} {_QUORUM}",
        "sentinel auth-pass": f"{SERVICE} {PASSWORD}",
        "sentinel down-after-milliseconds": f"{SERVICE} {_DOWN_AFTER_MS}",
        "sentinel failover-timeout": f"{SERVICE} 5000",
    }
    return _server("sentinel", port, OF_SENTINELS, folder, options, ("--sentinel",), encryption)


def _listening(port: int, encryption: dict[str, Any]) -> dict[str, Any]:
    if not encryption:
        return {"bind": LOOPBACK, "port": port}
    return {
        "bind": LOOPBACK,
        "port": 0,
        "tls-port": port,
        "tls-replication": "yes",
        "tls-ca-cert-file": encryption["ssl_ca_certs"],
        "tls-cert-file": encryption["ssl_certfile"],
        "tls-key-file": encryption["ssl_keyfile"],
    }


def _server(
    name: str,
    port: int,
    password: str,
    folder: Path,
    options: dict[str, Any],
    arguments: tuple[str, ...],
    encryption: dict[str, Any],
) -> Server:
    settings = folder / f"{name}.conf"  # a Sentinel writes there what it finds out
    settings.write_text("".join(f"{option} {value}\n" for option, value in options.items()))
    binary = valkey(port, folder).command.argv[0]
    if encryption:
        binary = str(shutil.which("redis-server"))
    command = Command(name, (binary, str(settings), *arguments), folder / f"{name}.log")

    def answers() -> bool:
        with _client(port, password, encryption) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    return Server(command, f"{LOOPBACK}:{port}", name, answers)


def _client(port: int, password: str, encryption: dict[str, Any]) -> redis.Redis:
    patient = {"decode_responses": True, "socket_timeout": PATIENCE_S}
    return redis.Redis(LOOPBACK, port, password=password, **patient, **encryption)


def _rights() -> str:
    return re.findall(r"`(\+sentinel[^`]+)`", DOCUMENT.read_text(encoding="utf-8"))[0]
