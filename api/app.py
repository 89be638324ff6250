"""The composition root: settings in, an ASGI application with its clients out."""

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version

from fastapi import FastAPI

from api.failures import install_failure_handlers
from api.metrics import Measured, Metrics
from api.openapi import install_openapi
from api.problems import install_problem_handlers
from api.publisher import Publisher
from api.routes import events, health, instruments, legacy, users
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

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        if not settings.api_keys:
            _log.warning("API_KEYS is not set: whoever reaches this server may write")
        store = Store(settings.redis_url, settings.namespace, metrics)
        publisher = Publisher(settings.kafka_bootstrap_servers, metrics)
        async with store.connecting(), contextlib.aclosing(publisher):
            yield {"services": Services(settings, store, publisher, metrics, now_ms)}

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
    )
    for routes in (instruments, users, events, legacy, health):
        app.include_router(routes.router)
    app.add_middleware(Measured, metrics=metrics)
    install_problem_handlers(app)
    install_failure_handlers(app)
    install_openapi(app)
    return app
