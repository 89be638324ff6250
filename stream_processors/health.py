"""/health, /health/ready and /metrics of a worker, over HTTP.

Healthy means progress: a partition with records to fold whose position has not moved for a while
makes the worker unhealthy, even if the process looks fine. A partition waiting for its Redis shard
does not: a restart would not help it, and would stop all the others. Nor does any partition while
the broker is unreachable. A waiting worker is healthy, but not ready. It is healthy and ready while
an open transaction holds records back: only its producer can end it. A worker without partitions is
healthy, as it may be a spare: only the metrics of all workers together show whether every partition
is folded.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, Protocol

from aiohttp import web
from aiokafka.errors import KafkaError
from faust.types import TP
from mode import Service
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisClusterException, RedisError

from contracts.topics import STREAMED, Topic
from stream_processors.app import StreamProcessors
from stream_processors.partition.state import PASSING, State
from stream_processors.patience import BROKER, STORE
from stream_processors.settings import Settings

STALLED_AFTER_S: Final = 30.0
_ANSWER_WITHIN_S: Final = 1.0

_TOPICS: Final = {topic.name: topic for topic in STREAMED}

Ask = Callable[[], Awaitable[Any]]


class Shards(Protocol):
    """What health checks need of the store."""

    async def answers(self) -> bool:
        """Return whether all nodes answer."""

    async def shard_answers(self, topic: Topic, partition: int) -> bool:
        """Return whether the shard of a partition answers."""


class Progress:
    """Tracks when each partition last moved or was idle."""

    def __init__(self, stalled_after_s: float = STALLED_AFTER_S) -> None:
        self._stalled_after_s = stalled_after_s
        self._seen: dict[TP, tuple[int | None, float]] = {}

    def stalled(
        self, positions: Mapping[TP, int], lags: Mapping[TP, int], now_s: float
    ) -> dict[TP, float]:
        """Return partitions with work that do not move, with the seconds since they last did.

        Args:
            positions: next offset by partition.
            lags: records not folded yet, by assigned partition.
            now_s: of a monotonic clock.
        """
        seen: dict[TP, tuple[int | None, float]] = {}
        for tp, lag in lags.items():
            # None means idle: work that arrived since then is not late yet.
            position = positions.get(tp, -1) if lag else None
            last_position, since = self._seen.get(tp, (None, now_s))
            moved = position is None or position != last_position
            seen[tp] = (position, now_s if moved else since)
        self._seen = seen
        return {
            tp: now_s - since
            for tp, (_, since) in seen.items()
            if now_s - since > self._stalled_after_s
        }


class Health:
    """Finds stalled partitions, and which of them could progress."""

    def __init__(
        self, app: StreamProcessors, store: Shards, stalled_after_s: float = STALLED_AFTER_S
    ) -> None:
        self._app = app
        self._store = store
        self._progress = Progress(stalled_after_s)

    def stalled(self) -> dict[TP, float]:
        """Return the stalled partitions that could progress, with the seconds since they last did.

        One that waited for its Redis shard could not progress. A stopped one needs an operator, and
        a restart would only hide the cause.
        """
        now_s = time.monotonic()
        folded = {p.tp: p.folded_offset for p in self._app.partitions}
        stalled = self._progress.stalled(folded, self._app.work(), now_s)
        for p in self._app.partitions:
            if p.state in PASSING and now_s - p.since_s > STALLED_AFTER_S:
                stalled[p.tp] = now_s - p.since_s
            if p.state is State.FLUSHING and now_s - p.waits.answered_s <= STALLED_AFTER_S:
                stalled.pop(p.tp, None)  # a large one, which Redis takes chunk by chunk
            waited_ago_s = p.waits.over_for_s(STORE)
            if p.state is State.STOPPED or waited_ago_s <= STALLED_AFTER_S:
                stalled.pop(p.tp, None)
            elif p.tp in stalled:
                stalled[p.tp] = min(stalled[p.tp], waited_ago_s)
        return stalled

    async def could_go_on(self, stalled: Iterable[TP], broker: Ask) -> set[TP]:
        """Return the stalled partitions whose servers all answer.

        A silent shard is probed here: a call to it ends after a minute.

        Args:
            stalled: the stalled partitions; if there are none, no server is asked.
            broker: whether the broker answers.
        """
        tps = list(stalled)
        if not tps:
            return set()
        broker_answers, *shards = await asyncio.gather(
            broker(), *(answers_soon(partial(self._shard, tp)) for tp in tps)
        )
        return {tp for tp, answers in zip(tps, shards, strict=True) if answers and broker_answers}

    async def _shard(self, tp: TP) -> bool:
        return await self._store.shard_answers(_TOPICS[tp.topic], tp.partition)


class HealthServer(Service):
    """Serves them on the worker's own event loop, so that a stuck loop is noticed as well."""

    def __init__(
        self,
        app: StreamProcessors,
        health: Health,
        store: Shards,
        broker: Ask,
        settings: Settings,
        **kwargs: Any,
    ) -> None:
        """Take the app, and probes of its servers."""
        super().__init__(**kwargs)
        self._app = app
        self._of_app = health
        self._store = store
        self._broker = broker
        self._settings = settings
        self._runner: web.AppRunner | None = None

    async def on_start(self) -> None:
        """Start listening.

        Raises:
            OSError: the port is taken.
        """
        pages = web.Application()
        pages.router.add_get("/health", self._health)
        pages.router.add_get("/health/ready", self._ready)
        pages.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(pages, access_log=None)
        await self._runner.setup()
        host, port = self._settings.metrics_host, self._settings.metrics_port
        await web.TCPSite(self._runner, host, port).start()

    async def on_stop(self) -> None:
        """Close the port."""
        if self._runner:
            await self._runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        work, held_back = self._app.work(), self._app.held_back()
        stalled = self._of_app.stalled()
        could_go_on = await self._of_app.could_go_on(stalled, partial(answers_soon, self._broker))
        is_waiting = bool(stalled) or any(p.waits for p in self._app.partitions)
        status = "stalled" if could_go_on else "waiting" if is_waiting else "ok"
        if status == "ok" and held_back:
            status = "held back"
        return web.json_response(
            {
                "status": status,
                "partitions": {
                    name(p.tp): {"state": p.state, "unfolded": work.get(p.tp, 0)}
                    | ({"held_back": held_back[p.tp]} if p.tp in held_back else {})
                    | ({"why": p.why} if p.why else {})
                    | ({"waits_for": list(p.waits)} if p.waits else {})
                    for p in self._app.partitions
                },
                "stalled_s": {name(tp): seconds for tp, seconds in stalled.items()},
            },
            status=503 if status == "stalled" else 200,
        )

    async def _ready(self, _: web.Request) -> web.Response:
        answers = await self._answers()
        waited_for = {server for p in self._app.partitions for server in p.waits}
        stopped = [name(p.tp) for p in self._app.partitions if p.state is State.STOPPED]
        stalled = self._of_app.stalled()
        is_ready = all(answers.values()) and not waited_for and not stalled and not stopped
        return web.json_response(
            {
                "status": "ready" if is_ready else "not ready",
                "progress": "stopped" if stopped else "stalled" if stalled else "ok",
                **{
                    server: "ok" if answer and server not in waited_for else "away"
                    for server, answer in answers.items()
                },
            },
            status=200 if is_ready else 503,
        )

    async def _answers(self) -> dict[str, bool]:
        store, broker = await asyncio.gather(
            answers_soon(self._store.answers), answers_soon(self._broker)
        )
        return {STORE: store, BROKER: broker}

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def name(tp: TP) -> str:
    """Return a partition's display name."""
    return f"{tp.topic}/{tp.partition}"


async def answers_soon(ask: Ask, within_s: float = _ANSWER_WITHIN_S) -> bool:
    """Return whether a server answers within a second."""
    try:
        return bool(await asyncio.wait_for(ask(), within_s))
    except (TimeoutError, RedisError, RedisClusterException, KafkaError, OSError):
        return False
