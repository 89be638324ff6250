"""One log format for all programs: JSON lines on standard error, our own and our libraries'.

The fields are those of the Elastic Common Schema, which Elasticsearch and CloudWatch both search by
dotted names. They are defined only here; `infra/logging/` has pipelines that read them.

| field | content |
|---|---|
| `@timestamp` | ISO 8601, UTC, microseconds |
| `message` | what happened, the same words each time |
| `log.level` | `debug`, `info`, `warning`, `error` or `critical` |
| `log.logger` | the logger's name, mostly its module |
| `service.name` | `tickrec-` and the program |
| `process.pid` | which process of a program on one machine |
| `http.request.id` | of the request that the line is about, if it is about one: `X-Request-Id` |
| `error.type`, `error.message`, `error.stack_trace` | of an exception, where one was logged |
| `ecs.version` | of the schema |
| `tickrec` | the particulars of the message, under names of their own |

Particulars are in an object of their own: one called `error` or `event` would clash with a field
of the schema that has another type, and Elasticsearch would reject the line.
"""

import logging
import os
import sys
import traceback
from contextvars import ContextVar
from typing import Final

import structlog
from structlog.typing import EventDict, Processor

from runtime.settings import SharedSettings, misspelt_settings

ECS_VERSION: Final = "8.11.0"
REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being processed."""


def configure_logs(program: str, settings: SharedSettings) -> None:
    """Send every log record of this process to standard error, as text or as JSON lines.

    Names in the environment that are nearly those of settings are logged.
    """
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="@timestamp"),
        structlog.processors.ExceptionRenderer(_error),
    ]
    service = {"name": f"tickrec-{program.replace('_', '-')}"}

    def to_ecs(_logger: object, _method: str, event: EventDict) -> EventDict:
        line = {
            "@timestamp": event.pop("@timestamp"),
            "message": event.pop("event"),
            "log": {"level": event.pop("level"), "logger": event.pop("logger")},
            "service": service,
            "process": {"pid": os.getpid()},  # asked each time: a fork has another
            "ecs": {"version": ECS_VERSION},
        }
        if (request_id := REQUEST_ID.get()) is not None:
            line["http"] = {"request": {"id": request_id}}
        event.pop("color_message", None)  # uvicorn's: the message again, with a terminal's colors
        if (error := event.pop("exception", None)) is not None:
            line["error"] = error
        if event:
            line["tickrec"] = event
        return line

    def to_text(_logger: object, _method: str, event: EventDict) -> EventDict:
        event.pop("color_message", None)
        event["timestamp"] = event.pop("@timestamp").partition(".")[0].replace("T", " ")
        if (error := event.get("exception")) is not None:
            event["exception"] = error["stack_trace"]
        return event

    is_terminal = sys.stderr.isatty()
    if settings.log_format == "text" or (settings.log_format == "auto" and is_terminal):
        rendering: list[Processor] = [to_text, structlog.dev.ConsoleRenderer(colors=is_terminal)]
    else:
        rendering = [to_ecs, structlog.processors.JSONRenderer(ensure_ascii=False)]

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    log = structlog.get_logger(__name__)
    for name, setting in misspelt_settings(os.environ, type(settings)).items():
        log.warning("no such setting: it is ignored", name=name, did_you_mean=setting)


def _error(exc_info: structlog.typing.ExcInfo) -> dict[str, str]:
    """Return the fields of `error`."""
    kind, error, trace = exc_info
    return {
        "type": f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."),
        "message": str(error),
        "stack_trace": "".join(traceback.format_exception(kind, error, trace)).rstrip("\n"),
    }
