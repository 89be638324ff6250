"""A master that dies under load, and the node that Sentinels put in its place."""

import asyncio
import contextlib
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import redis
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from api.http.metrics import Metrics
from api.redis.reading import Read
from api.redis.store import Store, StoreUnavailableError
from contracts.topics import QUOTES
from infra.local.process import LOOPBACK, Command, Server, free_port, running
from infra.local.store import valkey
from runtime.redis.refusals import StoreRefusesError
from runtime.redis.stores import connect, connect_async
from runtime.topology import Topology
from tests.integration.conftest import Pipeline
from tests.integration.watched import counted, diagonal, events, quotes, watched
from tests.patience import PATIENCE_S, eventually
from tests.runtime.redis.guarded import DOCUMENT, Guarded

pytestmark = pytest.mark.slow

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


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[WatchedOver]:
    with watched_over(tmp_path) as nodes:
        yield nodes


@pytest.fixture
def pipeline(
    broker: str, nodes: WatchedOver, namespace: str, topology: Topology, tmp_path: Path
) -> Iterator[Pipeline]:
    pipeline = Pipeline(broker, "redis://", namespace, topology, tmp_path)
    pipeline.environment["REDIS_URL"] = nodes.url
    with connect(nodes.url, "tests") as pipeline.store:
        pipeline.store.hset(pipeline.keyspace.topics(), mapping=topology.as_hash())
        yield pipeline


def test_a_master_that_dies_under_load_is_replaced_and_nothing_is_lost_or_counted_twice(
    pipeline: Pipeline, nodes: WatchedOver
) -> None:
    with watched(pipeline) as worker, pipeline.api() as address:
        pipeline.publish([*quotes(1_000), *events(100)])
        pipeline.wait_for_position(QUOTES, 1)
        pipeline.publish([*quotes(1_000, 1_000), *events(100, 100)])
        nodes.fail_over()
        pipeline.publish([*quotes(1_000, 2_000), *events(100, 200)])
        pipeline.wait_until_folded()
        eventually(lambda: worker.ready()["status"] == "ready", "the worker is ready")
        bars = f"{address}/v1/instruments/4/bars?start=1700000040000&end=1700000100000"
        eventually(lambda: httpx.get(bars).status_code == 200, "the API answers again")
        assert httpx.get(bars).json()["bars"][0]["n"] == 600
    assert counted(pipeline) == 3_000
    assert pipeline.gram() == pipeline.gram_of_histories()
    assert diagonal(pipeline) == 300


async def test_encrypted_sentinels_and_nodes_are_followed_by_every_client(
    store: Guarded, tmp_path: Path
) -> None:
    with watched_over(tmp_path, store) as nodes:
        sync, asynchronous = connect(nodes.url, "tests"), await connect_async(nodes.url, "tests")
        hot = Store(nodes.url, "live", Metrics().store_errors)
        async with hot.connecting():
            for value in ("before", "after"):
                sync.set("key", value)
                assert await asynchronous.get("key") == value
                async for attempt in AsyncRetrying(
                    retry=retry_if_exception_type((AssertionError, StoreUnavailableError)),
                    stop=stop_after_delay(PATIENCE_S),
                    wait=wait_fixed(0.05),
                ):
                    with attempt:
                        assert await hot.answer(value_of("key")) == value.encode()
                if value == "before":
                    await asyncio.to_thread(nodes.fail_over)
        sync.close()
        await asynchronous.aclose()


def value_of(key: str) -> Read[bytes]:
    (value,) = yield [("GET", key)]
    return value


def test_a_refused_login_and_an_unknown_service_give_different_errors(
    nodes: WatchedOver,
) -> None:
    with pytest.raises(redis.ConnectionError, match=r"'shop': .*set sentinel_username"):
        connect(nodes.url.replace("asking-password", "hunter2"), "tests")
    with pytest.raises(redis.ConnectionError, match="'bakery': they know no service"):
        connect(nodes.url.replace("shop", "bakery"), "tests")
    with pytest.raises(StoreRefusesError, match=r"shop of .* rejects the user 'default'"):
        connect(nodes.url.replace("nodes-password", "hunter2"), "tests")
