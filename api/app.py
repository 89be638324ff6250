"""The composition root: turns settings into an ASGI application with its clients."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.types import Scope

from api.bars import endpoints as bars
from api.bars.calendars import Calendars
from api.bars.reading import BarReader
from api.bars.seam import OlderBars
from api.events import endpoints as events
from api.events.publisher import Publisher
from api.feedback import endpoints as feedback
from api.generations import endpoints as models
from api.generations.pointer import Generations
from api.generations.reading import ModelReader
from api.generations.request_ids import RequestIds
from api.hot.heads import Heads
from api.hot.server import State
from api.hot.serving import Serving
from api.http import health
from api.http.bodies import Writing
from api.http.bounded import Bounded
from api.http.correlation import Identified
from api.http.failures import Contained, install_failure_handlers
from api.http.ids import with_ids
from api.http.keys.access import OPEN_TO_ALL, Access
from api.http.keys.file import Keys
from api.http.metrics import LiveMetrics, Measured, Metrics
from api.http.openapi import install_openapi
from api.http.pages import install_docs, install_page
from api.http.quotas import WriteQuota
from api.http.routing import Methods, install_endpoints
from api.http.security import ANY_HOST, CORS, Hosts, Named, Private, Secured, install_cors
from api.http.streams import PATHS, WEBSOCKET_PATH
from api.instruments import endpoints as instruments
from api.instruments import writing as describing
from api.instruments.catalog import Catalog
from api.instruments.popular import PopularItems
from api.instruments.reading import InstrumentReader, SimilarReader
from api.instruments.refresh import CatalogRefresh
from api.live import endpoints as live_bars
from api.live import stream as websocket
from api.live.hub import LiveBars
from api.market import endpoints as market
from api.market.movers import MoverRanking
from api.market.reading import LatestReader
from api.pipeline import endpoints as pipeline
from api.pipeline.log_ends import LogWatch
from api.pipeline.progress import Progress
from api.recommendations import endpoints as recommendations
from api.recommendations.reading import BodyRequests, RecommendationReader
from api.recommendations.trending import TrendingItems
from api.redis.store import Store
from api.settings import ApiSettings
from api.users import endpoints as users
from api.users.reading import UserReader
from api.users.writing import Erasure
from runtime.settings import SettingsError
from runtime.tracing import Tracing, tracing_to

if TYPE_CHECKING:
    from runtime.archive.config import ArchiveConfig

_log = logging.getLogger(__name__)
_VERSION: Final = version("tickrec")


def wall_clock_ms() -> int:
    """Return the time in epoch ms."""
    return time.time_ns() // 1_000_000


def create_app(
    settings: ApiSettings,
    now_ms: Callable[[], int] = wall_clock_ms,
    archive: "ArchiveConfig | None" = None,
) -> FastAPI:
    """Return the application; it connects in its lifespan, even if Redis or Kafka is down.

    With an `archive`, it also reads bars that Redis no longer retains.

    Raises:
        SettingsError: the packages that read the archive are not installed.
    """
    metrics = Metrics()
    store = Store(settings.redis_url, settings.namespace, metrics.store_errors)
    tracing = tracing_to(settings.otel_exporter_otlp_endpoint, "api")
    publisher = Publisher(settings.kafka, metrics, tracing)
    live = LiveBars(
        settings.redis_url,
        store,
        LiveMetrics(metrics.registry),
        now_ms,
        settings.streams_per_client,
    )
    writing = Writing(WriteQuota(settings.write_limit))
    keys = Keys(settings.api_keys, settings.api_keys_file, metrics.registry)
    access = Access(keys.by_digest)
    open_to_any = keys.by_digest is not None or ANY_HOST in settings.api_hosts
    hosts = None if open_to_any else Hosts(settings.api_hosts)
    cors = bool(settings.api_cors_origins)
    catalog = Catalog()
    refresh = CatalogRefresh(store, catalog, metrics.registry)
    calendars = Calendars(
        catalog.attributes, catalog.all_attributes, lambda: catalog.version, time.monotonic
    )
    movers = MoverRanking(store, catalog, now_ms)
    request_ids = RequestIds(store.keys)
    trending = TrendingItems(store, catalog, request_ids, now_ms)
    generations = Generations(store.keys)
    popular = PopularItems(store.keys, generations)
    recommended = RecommendationReader(store, generations, popular, request_ids, metrics, catalog)
    reactions = feedback.Feedback(
        publisher,
        store,
        generations,
        request_ids,
        metrics,
        now_ms,
        settings.input_rules(),
        catalog.resolve,
    )
    logs = LogWatch(settings.kafka, time.monotonic)
    archived = _archived_bars(archive)
    latest = LatestReader(store, now_ms, archived)
    endpoints = (
        *bars.endpoints(BarReader(store, now_ms, calendars.hours_of, archived), catalog.resolve),
        *market.endpoints(latest, movers, catalog.resolve, catalog.check),
        *instruments.endpoints(
            InstrumentReader(catalog, latest.newest),
            SimilarReader(store, generations, popular, catalog, request_ids),
            recommended.legacy,
            catalog.resolve,
            catalog.check,
        ),
        *describing.endpoints(writing, publisher.publish),
        *live_bars.endpoints(live, catalog.resolve, access, tracing),
        *recommendations.endpoints(
            recommended,
            BodyRequests(recommended, store, access.spend, catalog.resolve, catalog.check),
            trending,
            catalog.resolve,
            catalog.check,
        ),
        *users.endpoints(UserReader(store), Erasure(store, publisher.publish)),
        *models.endpoints(ModelReader(store)),
        *pipeline.endpoints(Progress(store, logs, now_ms)),
        *events.endpoints(writing, publisher, now_ms, settings.input_rules(), catalog.resolve),
        *feedback.endpoints(writing, reactions),
        *health.endpoints(store, publisher.check, metrics.registry),
    )
    table = tuple(map(with_ids, endpoints))

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        if keys.by_digest is None:
            _log.warning("API_KEYS is not set, nor is API_KEYS_FILE: %s", OPEN_TO_ALL)
        async with (
            store.connecting(),
            refresh.following(),
            movers.following(),
            calendars.following(),
            trending.following(),
            publisher.running(),
            contextlib.aclosing(logs),
            contextlib.aclosing(live),
            keys.followed(access.use),
            archived.running() if archived else contextlib.nullcontext(),
        ):
            yield {
                "serving": Serving(table, store, metrics, access, Heads(hosts, cors=cors)),
                "streams": live,
                "connections": settings.api_connections,
                CORS: cors,
            }
        await asyncio.to_thread(tracing.close)

    app = FastAPI(
        title="Tickrec",
        version=_VERSION,
        summary="Minute bars and recommendations from streams of quotes and events",
        description=(
            "Errors are RFC 9457 problems, `application/problem+json`. If Redis is slow or down, "
            "the server answers 503 within 250 ms, with `Retry-After`."
        ),
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,  # they load third-party scripts; see `api.http.pages`
        redoc_url=None,
        telemetry=_telemetry(tracing),
    )
    app.state.table = table
    install_endpoints(app, table, store, access)
    install = websocket.install_websocket
    (stream,) = (endpoint for endpoint in table if endpoint.path == WEBSOCKET_PATH)
    install(app, stream, live, catalog.resolve, access, tracing, settings.api_cors_origins)
    # Innermost first: rejected and failed requests are still counted and get their headers.
    app.add_middleware(Methods, routes=app.routes)
    app.add_middleware(Contained)
    if settings.api_private_port:
        app.add_middleware(Private, port=settings.api_private_port)
    app.add_middleware(Bounded)
    if cors:
        install_cors(app, settings.api_cors_origins)
    if hosts is not None:
        app.add_middleware(Named, hosts=hosts)
    app.add_middleware(Measured, metrics=metrics)
    app.add_middleware(Secured)
    app.add_middleware(Identified, tracing=tracing)
    install_failure_handlers(app)
    install_openapi(app, table, keyed=keys.by_digest is not None)
    install_docs(app)
    install_page(app)
    return app


def _archived_bars(config: "ArchiveConfig | None") -> OlderBars | None:
    """Return the bars of the archive, if one is configured.

    Raises:
        SettingsError: the packages that read it are not installed.
    """
    if config is None:
        return None
    try:
        # It needs pyarrow and pyiceberg, which an API without an archive need not install.
        from api.bars.archive.reader import archived_bars
    except ImportError as error:
        raise SettingsError(
            f"ARCHIVE_WAREHOUSE={config.warehouse!r}: the packages that read it are not installed "
            f"({error}): install tickrec[archive], or use the image tickrec/api-archive"
        ) from error
    return archived_bars(config)


def _telemetry(tracing: Tracing) -> TelemetryConfig:
    """Return what the framework traces: one span for each of some requests, if tracing is on.

    Reads have no spans, on either path.
    """
    return {
        "tracing": tracing.provider is not None,
        "tracer_provider": tracing.provider,
        "exclude": _has_no_span,
        "operation_spans": False,
        "metrics": False,
        "logs": False,
        "auto_configure": False,
    }


def _has_no_span(request: Scope) -> bool:
    is_read = request.get("method", "GET") in ("GET", "HEAD", "OPTIONS")  # a WebSocket has none
    return is_read and request["path"] not in PATHS
