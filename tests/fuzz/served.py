"""A real `python -m api` on a filled store, and its known answers before and after a fuzz."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import tenacity
from redis import Redis

from contracts.bars import BarValue
from contracts.keyspace import Keyspace
from infra.local.process import LOOPBACK, Command, Server, free_port, running
from infra.local.store import valkey
from infra.local.tansu import tansu
from operations.topics import ensure
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.redis.stores import connect
from tests.api.conftest import TOPOLOGY, Filled
from tests.fuzz.request import CANARY, KEY
from tests.patience import PATIENCE_S, answers

PARTITIONS: Final = {
    "quotes": TOPOLOGY.quotes,
    "interactions": TOPOLOGY.interactions,
    "cooccurrences": TOPOLOGY.cooccurrences,
}
LONG_AGO_S: Final = 1_629_061_620
_HELD: Final = {"instrument_id": 4, "affinity": 1.0, "last_event_ts": LONG_AGO_S * 1000}
GOLDEN: Final[dict[str, Any]] = {
    f"/v1/instruments/4/bars?limit=2&end={LONG_AGO_S}001": {
        "instrument_id": 4,
        "interval": "1m",
        "bars": [
            {"t": LONG_AGO_S * 1000, "o": 10.5, "h": 12.25, "l": 9.0, "c": 11.0, "v": 3.0, "n": 2}
            | {"vw": 10.75, "closed": True}
        ],
        "next_page_token": None,
    },
    "/instruments/similar/4": {"predicted_items": ["5", "7"]},
    "//instruments/similar/4": {"predicted_items": ["5", "7"]},
    "/instruments/similar/ABC": {"predicted_items": ["5", "7"]},
    "/v1/users/a%2Fb/history": {"user_id": "a/b", "items": [_HELD]},
    "/v1/users/a%0Ab/history": {"user_id": "a\nb", "items": [_HELD]},
}
"""The known answers of some paths: nothing that the fuzz sends reaches the store."""


@dataclass(frozen=True, slots=True)
class Served:
    """A server, and the file of its log."""

    port: int
    log: Path

    @property
    def address(self) -> str:
        """The server's URL."""
        return f"http://{LOOPBACK}:{self.port}"

    def wrong_answers(self) -> list[str]:
        """Return the known paths that are not answered as they must be."""
        with httpx.Client(timeout=PATIENCE_S) as client:
            given = {path: _patiently(client, self.address + path) for path in GOLDEN}
        return [
            f"{path}: {answer.status_code} {answer.text[:300]}"
            for path, answer in given.items()
            if answer.status_code != 200 or answer.json() != GOLDEN[path]
        ]

    def log_complaints(self) -> list[str]:
        """Return the log lines about internal errors, or with data from clients."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            said = json.loads(line)
            secret = any(each.decode() in line for each in (CANARY, KEY))
            trace = said.get("error", {}).get("stack_trace", "")
            if secret or said["log"]["level"] in {"error", "critical"} or trace:
                found.append(f"in the log: {said['message']} {trace[-1500:]}")
        return found


def fill(store: Redis, keys: Keyspace) -> None:
    """Write bars of then and now, histories, and lists, as the other programs do."""
    filled = Filled(store, keys)
    filled.topology()
    now_s = int(time.time()) // 60 * 60
    old = BarValue(10.5, 12.25, 9.0, 11.0, 3.0, 2, 32.25, 0, 0, (0, 0))
    for instrument in (4, 5, 7):
        filled.bars(instrument, dict.fromkeys((LONG_AGO_S, now_s - 60, now_s), old))
    for instrument in (4, 5):
        attributes = {"currency": "USD", "lot": 10 * instrument, "halted": False}
        filled.instrument(instrument, f"S{instrument}", attributes=attributes)
    for user in ("ABC", "Zoë", "a/b", "a\nb", "🐱"):
        filled.history(user, {"4": (1.0, LONG_AGO_S * 1000)}, off=1)
    similar = {"4": [("5", 0.5, 2.0), ("7", 0.25, 1.0)], "5": [("4", 0.5, 2.0)]}
    filled.generation("g1", similar, popular=[("4", 1.0), ("5", 0.5)])


@contextlib.contextmanager
def served(folder: Path, store_url: str, broker: str, namespace: str) -> Iterator[Served]:
    """Serve a namespace, with a key."""
    served = Served(free_port(), folder / "api.log")
    settings = {
        "API_PORT": str(served.port),
        "API_KEYS": f"other,{KEY.decode()}",
        "REDIS_URL": store_url,
        "KAFKA_BOOTSTRAP_SERVERS": broker,
        "NAMESPACE": namespace,
    }
    command = Command("api", (sys.executable, "-m", "tests.api.patient"), served.log, settings)
    ready = f"{served.address}/health/ready"
    with running(Server(command, served.address, "api", lambda: answers(ready))):
        yield served


@contextlib.contextmanager
def served_by_own_servers(folder: Path) -> Iterator[Served]:
    """Serve a filled store and a broker that are started for it."""
    store_server, broker_server = valkey(free_port(), folder), tansu(free_port(), folder)
    with running(store_server), running(broker_server):
        keys = Keyspace("fuzz")
        with connect(store_server.address, "fuzz") as store:
            assert isinstance(store, Redis)
            ensure(brokers.admin(plain(broker_server.address)), store, keys, PARTITIONS)
            fill(store, keys)
        with served(folder, store_server.address, broker_server.address, "fuzz") as api:
            yield api


@tenacity.retry(
    retry=tenacity.retry_if_result(lambda answer: answer.status_code == 503),
    stop=tenacity.stop_after_delay(PATIENCE_S),
    wait=tenacity.wait_fixed(0.1),
    retry_error_callback=lambda state: state.outcome.result(),
)
def _patiently(client: httpx.Client, url: str) -> httpx.Response:
    """Ask again while the store is too slow: that is no wrong answer."""
    return client.get(url, headers={"X-API-Key": KEY.decode()})
