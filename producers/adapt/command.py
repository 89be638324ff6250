"""`python -m producers adapt`: reads options and settings, and creates and connects the parts."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import structlog
import typer
from confluent_kafka import KafkaException
from confluent_kafka.schema_registry import SchemaRegistryClient
from prometheus_client import start_http_server

from contracts.topics import ALL, DEAD_LETTERS_SUFFIX, INSTRUMENTS, dead_letters
from producers.adapt import metrics
from producers.adapt.adapter import Adapter, Route
from producers.adapt.catalog import Catalog, Symbols
from producers.adapt.examples import example_of, text_of_example
from producers.adapt.formats import decoders
from producers.adapt.input import Input
from producers.adapt.mapping import MappingError, MappingFile, read_mapping
from producers.adapt.messages import Mapper
from producers.adapt.output import Output
from producers.adapt.registry import Registry
from producers.adapt.settings import AdaptSettings
from producers.progress import Summary, progress, report
from producers.publisher import PublishingError
from producers.run import USAGE_ERROR, stop_on_signals
from runtime.kafka import broker
from runtime.kafka.broker import Admin
from runtime.kafka.config import KafkaConfig
from runtime.kafka.refusals import describe_error
from runtime.kafka.rights import Right, RightsError, check_rights, rights, transactions_of
from runtime.kafka.tokens import TokenError
from runtime.logs import configure_logs
from runtime.settings import SettingsError, read_settings

_TITLE: Final = "adapting"
_ERRORS: Final = (
    PublishingError,
    RightsError,
    TokenError,
    broker.BrokerError,
    KafkaException,
    OSError,
)

log = structlog.get_logger(__name__)


def run(mapping: Path, *, is_dry: bool) -> None:
    """Read settings and mapping, and map until a signal, or show the examples; then exit."""
    try:
        settings = read_settings(AdaptSettings)
        read = read_mapping(mapping)
        _check_topics(read, settings.kafka)
        now_ms = time.time_ns() // 1_000_000
        rules = settings.input_rules()
        examples = [example_of(source, now_ms, rules) for source in read.sources]
        symbols = Symbols()
        routes = None if is_dry else _routes(read, mapping.parent, settings, symbols)
    except (SettingsError, MappingError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(USAGE_ERROR) from None
    if routes is None:
        for source, example in zip(read.sources, examples, strict=True):
            typer.echo(text_of_example(source, example))
        return
    raise typer.Exit(_run(read, routes, symbols, settings))


def _check_topics(read: MappingFile, kafka: KafkaConfig) -> None:
    """Check that a mapping does not read what it publishes.

    Raises:
        MappingError: it does.
    """
    ours = {kafka.topic(topic.name) for topic in ALL}
    if own := sorted(ours & {source.topic for source in read.sources}):
        raise MappingError(f"topic {', '.join(own)} is Tickrec's own: name one of yours")


def _routes(
    read: MappingFile, folder: Path, settings: AdaptSettings, symbols: Symbols
) -> dict[str, Route]:
    """Return how the records of each topic are mapped.

    Raises:
        MappingError: a schema cannot be read, or the registry's settings are wrong.
    """
    registry = Registry(_client(settings))
    rules = settings.input_rules()
    return {
        source.topic: Route(
            decoders(source, folder, registry),
            Mapper(source, symbols.find, rules),
            source.target.topic,
        )
        for source in read.sources
    }


def _client(settings: AdaptSettings) -> SchemaRegistryClient | None:
    if settings.schema_registry.url is None:
        return None
    try:
        return SchemaRegistryClient(settings.schema_registry.client())
    except (ValueError, OSError) as error:
        raise MappingError(f"SCHEMA_REGISTRY_...: {error}") from None


def _run(
    read: MappingFile, routes: dict[str, Route], symbols: Symbols, settings: AdaptSettings
) -> int:
    """Map until SIGTERM, report, and return the exit code."""
    stop = stop_on_signals()
    start_s = time.monotonic()
    adapter: Adapter | None = None
    failed = False
    with progress(_TITLE) as show:
        configure_logs("producers", settings)
        log.info(_TITLE, topics=[*routes], group=settings.kafka.topic(read.group))
        try:
            _serve_metrics(routes, settings)
            with _connected(read, routes, symbols, settings) as adapter:
                log.info("started")
                adapter.run(
                    stop.is_set,
                    lambda: show(adapter.published if adapter else 0, None),
                    settings.delivery_timeout_s,
                )
        except _ERRORS as error:
            log.error("cannot continue", reason=_why(error))  # noqa: TRY400 (it says what and where)
            failed = True
    report(
        Summary(
            delivered=adapter.published if adapter else 0,
            failed=0,
            rejected=adapter.rejected if adapter else 0,
            seconds=time.monotonic() - start_s,
            reasons={},
        )
    )
    return 1 if failed else 0


def _serve_metrics(routes: dict[str, Route], settings: AdaptSettings) -> None:
    metrics.begin([*routes], sorted({route.into.name for route in routes.values()}))
    if settings.metrics_port:
        start_http_server(settings.metrics_port, settings.metrics_host)


@contextlib.contextmanager
def _connected(
    read: MappingFile, routes: dict[str, Route], symbols: Symbols, settings: AdaptSettings
) -> Iterator[Adapter]:
    """Connect, and disconnect after the block.

    Raises:
        PublishingError: a topic is missing, or the catalog cannot be read.
        RightsError: a right is missing.
        broker.BrokerError: the broker does not answer.
        KafkaException: it refuses something.
    """
    kafka, within_s, instance = settings.kafka, settings.delivery_timeout_s, settings.adapt_instance
    client = Admin(kafka)
    check_rights(client, kafka, _needed(read, routes))
    known = broker.partitions_of(client)
    _require(kafka, routes, known)
    with contextlib.ExitStack() as stack:
        catalog = None
        if any(rule.symbol for source in read.sources for _, rule in source.rules()):
            catalog = stack.enter_context(contextlib.closing(Catalog(client, read.group, symbols)))
            catalog.load(known[kafka.topic(INSTRUMENTS.name)], within_s)
        output = Output(kafka, read.group, instance, within_s)
        source = Input(kafka, read.group, [*routes], instance)
        stack.enter_context(contextlib.closing(source))
        yield Adapter(routes, source, output, symbols, catalog)


def _needed(read: MappingFile, routes: dict[str, Route]) -> list[Right]:
    into = {route.into.name for route in routes.values()}
    names = {*into, *(name + DEAD_LETTERS_SUFFIX for name in into)}
    catalog = Right("READ", "topic", INSTRUMENTS.name)
    ours = [its for its in rights("")["adapter"] if its.name in names or its == catalog]
    return [*ours, *transactions_of(read.group)]


def _require(kafka: KafkaConfig, routes: dict[str, Route], known: Mapping[str, int]) -> None:
    """Check that the topics exist.

    Raises:
        PublishingError: some are missing.
    """
    at = f"the broker at {kafka.bootstrap_servers} has no topic"
    if missing := sorted(routes.keys() - known.keys()):
        raise PublishingError(
            f"{at} {', '.join(missing)}: correct `topic` in the mapping; if it is there, grant the "
            "right READ on it, see docs/kafka.md"
        )
    into = {route.into for route in routes.values()}
    ours = {kafka.topic(name) for topic in into for name in (topic.name, dead_letters(topic).name)}
    if missing := sorted((ours | {kafka.topic(INSTRUMENTS.name)}) - known.keys()):
        raise PublishingError(f"{at} {', '.join(missing)}: run `python -m operations.topics` first")


def _why(error: Exception) -> str:
    if isinstance(error, KafkaException):
        return describe_error(error.args[0])
    return str(error)
