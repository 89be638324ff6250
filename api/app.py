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
from api.events.lateness import Lateness
from api.events.producer import LastingProducer
from api.events.publisher import Publisher
from api.feedback import endpoints as feedback
from api.generations import endpoints as models
from api.generations.pointer import Generations
from api.generations.reading import ModelReader
from api.generations.request_ids import RequestIds
from api.health import endpoints as health
from api.health.kafka_check import KafkaCheck
from api.health.log_ends import LogWatch
from api.health.progress import Progress
from api.hot.request import Heads
from api.hot.server import State
from api.hot.serving import Serving
from api.http.answer_headers import AnswerHeaders
from api.http.bodies import Writing
from api.http.endpoint import Table
from api.http.failures import BugBarrier, install_failure_handlers
from api.http.instrument_refs import with_ids
from api.http.keys.access import OPEN_TO_ALL, Access
from api.http.keys.file import Keys
from api.http.load_shedding import LoadShedding
from api.http.metrics import LiveMetrics, Metrics, RequestTiming
from api.http.openapi import install_openapi
from api.http.routing import Methods, install_endpoints
from api.http.security import ANY_HOST, HostCheck, Hosts, PrivatePort, install_cors
from api.http.server_state import PATHS, WEBSOCKET_PATH
from api.http.static_files import install_docs, install_page
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
CATALOG_REFRESH_S: Final = 1.0
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
    parts = _Parts(settings, now_ms, archive)
    table = tuple(map(with_ids, parts.endpoints()))
    app = FastAPI(
        title="Tickrec",
        version=_VERSION,
        summary="Minute bars and recommendations from streams of quotes and events",
        description=(
            "Errors are RFC 9457 problems, `application/problem+json`. If Redis is slow or down, "
            "the server answers 503 within 250 ms, with `Retry-After`."
        ),
        lifespan=lambda _: parts.running(table),
        redirect_slashes=False,
        docs_url=None,  # they load third-party scripts; see `api.http.static_files`
        redoc_url=None,
        telemetry=_telemetry(parts.tracing),
    )
    app.state.table = table
    install_endpoints(app, table, parts.store, parts.access)
    parts.install_websocket(app, table)
    parts.install_middleware(app)
    install_failure_handlers(app)
    install_openapi(app, table, keyed=parts.keys.by_digest is not None)
    install_docs(app)
    install_page(app)
    return app


class _Parts:
    """The clients and caches of one application, which its endpoints share."""

    def __init__(
        self, settings: ApiSettings, now_ms: Callable[[], int], archive: "ArchiveConfig | None"
    ) -> None:
        self.settings = settings
        self.now_ms = now_ms
        self.metrics = metrics = Metrics()
        self.store = store = Store(settings.redis_url, settings.namespace, metrics.store_errors)
        self.tracing = tracing_to(settings.otel_exporter_otlp_endpoint, "api")
        self.producer = LastingProducer(settings.kafka)
        self.live = LiveBars(
            settings.redis_url,
            store,
            LiveMetrics(metrics.registry),
            now_ms,
            settings.streams_per_client,
        )
        self.keys = Keys(settings.api_keys, settings.api_keys_file, metrics.registry)
        self.access = Access(self.keys.by_digest)
        open_to_any = self.keys.by_digest is not None or ANY_HOST in settings.api_hosts
        self.hosts = None if open_to_any else Hosts(settings.api_hosts)
        self.has_cors = bool(settings.api_cors_origins)
        self.catalog = catalog = Catalog()
        self.refresh = CatalogRefresh(store, catalog, metrics.registry, CATALOG_REFRESH_S)
        self.calendars = Calendars(
            catalog.attributes, catalog.all_attributes, lambda: catalog.version, time.monotonic
        )
        self.movers = MoverRanking(store, catalog, now_ms)
        self.request_ids = RequestIds(store.keys)
        self.trending = TrendingItems(store, catalog, self.request_ids, now_ms)
        self.logs = LogWatch(settings.kafka, time.monotonic)
        self.archived = _archived_bars(archive)

    def endpoints(self) -> Table:
        """Return the endpoints of all subjects."""
        store, catalog = self.store, self.catalog
        publisher = Publisher(self.producer, self.metrics, self.tracing)
        now_ms, rules = self.now_ms, self.settings.input_rules()
        writing = Writing(self.settings.write_limit)
        generations = Generations(store.keys)
        popular = PopularItems(store.keys, generations)
        latest = LatestReader(store, now_ms, self.archived)
        bar_reader = BarReader(store, now_ms, self.calendars.hours_of, self.archived)
        recommended = RecommendationReader(
            store, generations, popular, self.request_ids, self.metrics, catalog
        )
        reactions = feedback.Feedback(
            publisher,
            store,
            generations,
            self.request_ids,
            self.metrics,
            now_ms,
            rules,
            catalog.resolve,
        )
        progress = Progress(store, self.logs, now_ms)
        return (
            *bars.endpoints(bar_reader, catalog.resolve),
            *market.endpoints(latest, self.movers, catalog.resolve, catalog.check),
            *instruments.endpoints(
                InstrumentReader(catalog, latest.newest),
                SimilarReader(store, generations, popular, catalog, self.request_ids),
                recommended.legacy,
                catalog.resolve,
                catalog.check,
            ),
            *describing.endpoints(writing, publisher.publish),
            *live_bars.endpoints(self.live, catalog.resolve, self.access, self.tracing),
            *recommendations.endpoints(
                recommended,
                BodyRequests(recommended, store, self.access.spend, catalog.resolve, catalog.check),
                self.trending,
                catalog.resolve,
                catalog.check,
            ),
            *users.endpoints(UserReader(store), Erasure(store, publisher.publish)),
            *models.endpoints(ModelReader(store)),
            *events.endpoints(
                writing, publisher, Lateness(store, now_ms), now_ms, rules, catalog.resolve
            ),
            *feedback.endpoints(writing, reactions),
            *health.endpoints(store, KafkaCheck(self.producer), progress, self.metrics.registry),
        )

    @contextlib.asynccontextmanager
    async def running(self, table: Table) -> AsyncIterator[State]:
        """Connect, and follow what changes, for the block; yield what the server needs."""
        if self.keys.by_digest is None:
            _log.warning("API_KEYS is not set, nor is API_KEYS_FILE: %s", OPEN_TO_ALL)
        heads = Heads(self.hosts, cors=self.has_cors)
        async with (
            self.store.connecting(),
            self.refresh.following(),
            self.movers.following(),
            self.calendars.following(),
            self.trending.following(),
            self.producer.running(),
            contextlib.aclosing(self.logs),
            contextlib.aclosing(self.live),
            self.keys.followed(self.access.use),
            self.archived.running() if self.archived else contextlib.nullcontext(),
        ):
            yield {
                "serving": Serving(table, self.store, self.metrics, self.access, heads),
                "streams": self.live,
                "connections": self.settings.api_connections,
                "cors": self.has_cors,
            }
        await asyncio.to_thread(self.tracing.close)

    def install_websocket(self, app: FastAPI, table: Table) -> None:
        """Install the endpoint that is opened as a WebSocket."""
        (stream,) = (endpoint for endpoint in table if endpoint.path == WEBSOCKET_PATH)
        resolve, origins = self.catalog.resolve, self.settings.api_cors_origins
        websocket.install_websocket(
            app, stream, self.live, resolve, self.access, self.tracing, origins
        )

    def install_middleware(self, app: FastAPI) -> None:
        """Install what each request passes, innermost first.

        So requests that are rejected or fail are still counted, and get the headers of all answers.
        """
        app.add_middleware(Methods, routes=app.routes)
        app.add_middleware(BugBarrier)
        if self.settings.api_private_port:
            app.add_middleware(PrivatePort, port=self.settings.api_private_port)
        app.add_middleware(LoadShedding)
        if self.has_cors:
            install_cors(app, self.settings.api_cors_origins)
        if self.hosts is not None:
            app.add_middleware(HostCheck, hosts=self.hosts)
        app.add_middleware(RequestTiming, metrics=self.metrics)
        app.add_middleware(AnswerHeaders, tracing=self.tracing)


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
