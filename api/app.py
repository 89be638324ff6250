"""The composition root: settings in, an ASGI application with its clients out."""

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version

from fastapi import FastAPI

from api.answering import Answering
from api.bounded import Bounded
from api.bugs import Contained
from api.docs import install_docs
from api.failures import install_failure_handlers
from api.headers import Secured
from api.hot.serving import Serving
from api.limits import WriteQuota
from api.live.bars import LiveBars
from api.live.metrics import LiveMetrics
from api.metrics import Measured, Metrics
from api.openapi import install_openapi
from api.problems import install_problem_handlers
from api.publisher import Publisher
from api.reader import Reader
from api.request_ids import RequestIds
from api.routes import events, feedback, health, instruments, legacy, stream, users
from api.services import Services, State
from api.settings import ApiSettings
from api.store import Store

_log = logging.getLogger(__name__)


def wall_clock_ms() -> int:
    """Return the time in epoch ms."""
    return time.time_ns() // 1_000_000


def create_app(settings: ApiSettings, now_ms: Callable[[], int] = wall_clock_ms) -> FastAPI:
    """Return the application; it connects in its lifespan, and starts with Redis or Kafka away."""
    metrics = Metrics()
    live_metrics = LiveMetrics(metrics.registry)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        if not settings.api_keys:
            _log.warning("API_KEYS is not set: whoever reaches this server may write")
        store = Store(settings.redis_url, settings.namespace, metrics)
        request_ids = RequestIds(store.keys)
        answering = Answering(Reader(store, metrics), request_ids, metrics, now_ms)
        publisher = Publisher(settings.kafka_bootstrap_servers, metrics)
        live = LiveBars(settings.redis_url, store, live_metrics, now_ms)
        async with store.connecting(), contextlib.aclosing(publisher), contextlib.aclosing(live):
            yield {
                "services": Services(
                    settings, store, answering, request_ids, publisher, live, metrics, now_ms
                ),
                "serving": Serving(answering, store, metrics),
            }

    app = FastAPI(
        title="Tickrec",
        version=version("tickrec"),
        summary="Minute bars and recommendations from streams of quotes and events",
        description=(
            "Errors are problems in the sense of RFC 9457, `application/problem+json`. A 503 comes "
            "within 250 ms when Redis is slow or away, with `Retry-After`."
        ),
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,  # they load scripts from elsewhere; see `api.docs`
        redoc_url=None,
    )
    for routes in (instruments, stream, users, events, feedback, legacy, health):
        app.include_router(routes.router)
    app.state.write_quota = WriteQuota(settings.write_limit)
    # Innermost first: what is turned away or fails is still counted, and has its headers.
    app.add_middleware(Contained)
    app.add_middleware(Bounded)
    app.add_middleware(Measured, metrics=metrics)
    app.add_middleware(Secured)
    install_problem_handlers(app)
    install_failure_handlers(app)
    install_openapi(app, keyed=bool(settings.api_keys))
    install_docs(app)
    return app
