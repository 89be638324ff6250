"""A worker and an API behind the page, and what is published to them."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import httpx
import redis

from contracts.instruments import Instrument, encode_instrument, instrument_key
from contracts.messages import Interaction, Quote
from contracts.times import MINUTE_MS
from contracts.topics import INSTRUMENTS
from infra.local.process import Server, free_port, running
from tests.api.conftest import Filled
from tests.integration.conftest import Pipeline, eventually
from tests.patience import PATIENCE_S, answers

LAST: Final = 10
"""So many in a row are in all partitions."""


@dataclass
class Stack:
    """The programs behind the page."""

    pipeline: Pipeline
    model: Filled
    """writes lists as the trainer does"""
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def api(self, module: str = "tests.api.patient", **settings: str | int) -> Iterator[None]:
        """Run the API, always on the same port; `module` is `api` where its bounds matter."""
        own: dict[str, str | int] = {"api_port": self.port, **settings}
        command = self.pipeline.command("api", module, **own)
        ready = f"{self.url}/health/ready"
        with running(Server(command, self.url, "api", lambda: answers(ready))):
            yield

    def describe(self, *instruments: Instrument) -> None:
        """Put instruments into the catalog, and return once the API knows the last of them."""
        self.pipeline.publish_raw(
            (INSTRUMENTS.name, instrument_key(it.instrument_id), encode_instrument(it), None)
            for it in instruments
        )
        last = [f"/v1/instruments/{it.instrument_id}" for it in instruments[-LAST:]]
        with httpx.Client(base_url=self.url, timeout=PATIENCE_S) as client:
            eventually(
                lambda: all(client.get(path).is_success for path in last),
                f"{instruments[-1].symbol} is in the catalog",
            )

    def quote(self, instrument_id: int, price: float, ts: int, size: float = 1.0) -> None:
        """Publish a quote with its event time in epoch ms."""
        self.publish(Quote(instrument_id=instrument_id, price=price, size=size, ts=ts))

    def publish(self, *messages: Quote | Interaction) -> None:
        self.pipeline.publish(messages)


def minute_ms(minutes_ago: int = 0) -> int:
    return (time.time_ns() // 1_000_000 // MINUTE_MS - minutes_ago) * MINUTE_MS


@contextlib.contextmanager
def stack(pipeline: Pipeline) -> Iterator[Stack]:
    """Run a worker, until the block ends."""
    with pipeline.worker():
        pipeline.wait_until_claimed()
        assert isinstance(pipeline.store, redis.Redis)
        yield Stack(pipeline, Filled(pipeline.store, pipeline.keyspace))
