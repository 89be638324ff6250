"""The composition root: settings in, an ASGI application with its clients out."""

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version

from fastapi import FastAPI

from api.bars import endpoints as bars
from api.bars.reading import BarReader
from api.events import endpoints as events
from api.events.publisher import Publisher
from api.feedback import endpoints as feedback
from api.hot.server import State
from api.hot.serving import Serving
from api.http import health
from api.http.bugs import Contained
from api.http.docs import install_docs
from api.http.failures import install_failure_handlers
from api.http.headers import Secured
from api.http.metrics import Measured, Metrics
from api.http.openapi import install_openapi
from api.http.quotas import WriteQuota
from api.http.routing import install_endpoints
from api.http.shedding import Bounded
from api.http.writing import Writing
from api.instruments import endpoints as instruments
from api.instruments.reading import SimilarReader
from api.live import endpoints as live_bars
from api.live.bars import LiveBars
from api.live.metrics import LiveMetrics
from api.models.generations import Generations
from api.models.request_ids import RequestIds
from api.recommendations import endpoints as recommendations
from api.recommendations.reading import RecommendationReader
from api.redis.store import Store
from api.settings import ApiSettings
from api.users import endpoints as users
from api.users.reading import UserReader

_log = logging.getLogger(__name__)


def wall_clock_ms() -> int:
    """Return the time in epoch ms."""
    return time.time_ns() // 1_000_000


def create_app(settings: ApiSettings, now_ms: Callable[[], int] = wall_clock_ms) -> FastAPI:
    """Return the application; it connects in its lifespan, and starts with Redis or Kafka away."""
    metrics = Metrics()
    store = Store(settings.redis_url, settings.namespace, metrics.store_errors)
    publisher = Publisher(settings.kafka_bootstrap_servers, metrics)
    live = LiveBars(settings.redis_url, store, LiveMetrics(metrics.registry), now_ms)
    writing = Writing(settings.api_keys, WriteQuota(settings.write_limit))
    generations = Generations(store.keys)
    request_ids = RequestIds(store.keys)
    recommended = RecommendationReader(store, generations, request_ids, metrics)
    reactions = feedback.Feedback(
        writing, publisher, store, generations, request_ids, metrics, now_ms
    )
    table = (
        *bars.endpoints(BarReader(store, now_ms)),
        *instruments.endpoints(SimilarReader(store, generations), recommended.legacy),
        *live_bars.endpoints(live),
        *recommendations.endpoints(recommended),
        *users.endpoints(UserReader(store)),
        *events.endpoints(writing, publisher, now_ms),
        *feedback.endpoints(reactions),
        *health.endpoints(store, publisher.check, metrics.registry),
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        if not settings.api_keys:
            _log.warning("API_KEYS is not set: whoever reaches this server may write")
        async with store.connecting(), publisher.running(), contextlib.aclosing(live):
            yield {"serving": Serving(table, store, metrics), "streams": live}

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
        docs_url=None,  # they load scripts from elsewhere; see `api.http.docs`
        redoc_url=None,
    )
    app.state.table = table
    install_endpoints(app, table, store)
    # Innermost first: what is turned away or fails is still counted, and has its headers.
    app.add_middleware(Contained)
    app.add_middleware(Bounded)
    app.add_middleware(Measured, metrics=metrics)
    app.add_middleware(Secured)
    install_failure_handlers(app)
    install_openapi(app, table, keyed=bool(settings.api_keys))
    install_docs(app)
    return app
