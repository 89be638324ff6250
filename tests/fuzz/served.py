"""A filled store, and what `python -m api` on it must answer before and after a fuzz."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import tenacity
from redis import Redis

from api.bars.answers import Bar
from contracts.bars import BarValue, fields_of
from contracts.keyspace import Keyspace
from tests.api.conftest import Filled
from tests.fuzz.request import CANARY, KEY
from tests.patience import PATIENCE_S

LONG_AGO_S: Final = 1_629_061_620
_HELD: Final = {"instrument_id": 4, "affinity": 1.0, "last_event_ts": LONG_AGO_S * 1000}
_BAR: Final = BarValue(10.5, 12.25, 9.0, 11.0, 3.0, 2, 32.25, 0, 0, (0, 0))
_SERVED: Final = {letter: getattr(_BAR, letter) for letter in fields_of(Bar)}
GOLDEN: Final[dict[str, Any]] = {
    f"/v1/instruments/4/bars?limit=2&end={LONG_AGO_S}001": {
        "instrument_id": 4,
        "interval": "1m",
        "bars": [{"t": LONG_AGO_S * 1000, "vw": 10.75, "closed": True} | _SERVED],
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

    address: str
    log: Path

    def check(self) -> None:
        """Assert that the known paths are answered as they must be, and that the log is clean."""
        with httpx.Client(timeout=PATIENCE_S) as client:
            for path, expected in GOLDEN.items():
                answer = _patiently(client, self.address + path)
                assert (answer.status_code, answer.json()) == (200, expected), path
        for line in self.log.read_text(errors="replace").splitlines():
            assert not any(secret.decode() in line for secret in (CANARY, KEY)), line
            logged = json.loads(line)
            assert logged["log"]["level"] not in {"error", "critical"}, line
            assert not logged.get("error", {}).get("stack_trace"), line


def fill(store: Redis, keys: Keyspace) -> None:
    """Write bars of then and now, histories, and lists, as the other programs do."""
    filled = Filled(store, keys)
    filled.topology()
    now_s = int(time.time()) // 60 * 60
    for instrument in (4, 5, 7):
        filled.bars(instrument, dict.fromkeys((LONG_AGO_S, now_s - 60, now_s), _BAR))
    for instrument in (4, 5):
        attributes = {"currency": "USD", "lot": 10 * instrument, "halted": False}
        filled.instrument(instrument, f"S{instrument}", attributes=attributes)
    for user in ("ABC", "Zoë", "a/b", "a\nb", "🐱"):
        filled.history(user, {"4": (1.0, LONG_AGO_S * 1000)}, off=1)
    similar = {"4": [("5", 0.5, 2.0), ("7", 0.25, 1.0)], "5": [("4", 0.5, 2.0)]}
    filled.generation("g1", similar, popular=[("4", 1.0), ("5", 0.5)])


@tenacity.retry(
    retry=tenacity.retry_if_result(lambda answer: answer.status_code == 503),
    stop=tenacity.stop_after_delay(PATIENCE_S),
    wait=tenacity.wait_fixed(0.1),
    retry_error_callback=lambda state: state.outcome.result(),
)
def _patiently(client: httpx.Client, url: str) -> httpx.Response:
    """Ask again while the store is too slow: that is no wrong answer."""
    return client.get(url, headers={"X-API-Key": KEY.decode()})
