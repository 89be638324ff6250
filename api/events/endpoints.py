"""The endpoints of events: quotes and interactions, from HTTP to Kafka."""

import asyncio
import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from api.events.bodies import (
    SENT_INTERACTION,
    SENT_QUOTE,
    Accepted,
    LegacyAdded,
    LegacyEvent,
    events_schema,
    legacy_schema,
)
from api.events.lines import CSV, NDJSON, STEP, Line, Lines, lines_of
from api.events.parsing import Message, parse_events, parse_legacy
from api.events.publisher import Publisher
from api.http.bodies import MAX_LINES, Writing, media_type_of
from api.http.endpoint import ActionEndpoint, Success, Table, WriteEndpoint
from api.http.parameters import Schema
from api.http.parsing import Resolve
from api.http.problems import WRITING
from api.http.replies import respond
from api.http.schemas import json_body
from contracts.input_rules import InputRules
from contracts.messages import Quote

_QUOTE: Final[dict[str, Any]] = {
    "type": "quote",
    "instrument_id": 4,
    "price": 30.72,
    "size": 100,
    "ts": 1629061628123,
}
_INTERACTION: Final[dict[str, Any]] = {
    "type": "interaction",
    "user_id": "ABC",
    "instrument_id": 4,
    "event": "trade",
    "price": 10.273,
    "quantity": 2,
    "ts": 1629061628123,
}
_FILES: Final = (*NDJSON, CSV)
_NDJSON_EXAMPLE: Final = "\n".join(json.dumps(event) for event in (_QUOTE, _INTERACTION)) + "\n"
_CSV_EXAMPLE: Final = """\
type,instrument_id,ts,price,size,user_id,event,quantity
quote,4,1629061628123,30.72,100,,,
interaction,4,1629061628123,10.273,,ABC,trade,2
"""
_LEGACY_EVENT: Final = LegacyEvent(userid="ABC", price="10.273", timestamp="1629061628", instrid=4)


def endpoints(
    writing: Writing,
    publisher: Publisher,
    now_ms: Callable[[], int],
    rules: InputRules,
    resolve: Resolve,
) -> Table:
    """Return the endpoints of events; `resolve` finds instruments by their symbols."""

    async def events(request: Request, body: bytes) -> Response:
        media_type = media_type_of(request)
        if media_type in _FILES:
            lines = Lines(now_ms(), rules, resolve)
            messages = await _of_file(lines_of(body, media_type), lines)
        else:
            messages = parse_events(body, now_ms(), rules, resolve)
        await publisher.publish(messages)
        quotes = sum(isinstance(message, Quote) for message in messages)
        return respond(Accepted(quotes, len(messages) - quotes), 202)

    async def legacy(request: Request) -> Response:
        body = await writing.events_of(request)
        event, quote, interaction = parse_legacy(body, now_ms(), rules)
        await publisher.publish([quote, interaction])
        return respond(LegacyAdded(event))

    return (
        WriteEndpoint(
            name="publish_events",
            method="POST",
            path="/v1/events",
            tag="events",
            summary="Publish quotes and interactions",
            description=f"""\
One event or an array of up to 1,000, each with its `type`: `quote` or `interaction`.

The answer is sent once Kafka has acknowledged all of them. If one is invalid, none is accepted, and
`errors` gives the index, field and reason of each (of the first 20).

As NDJSON or CSV, by `Content-Type`, a body may have up to {MAX_LINES:,} events, one a line;
`errors` then gives the line, too. The first line of CSV names the columns.""",
            receive=partial(writing.events_of, files=_FILES),
            act=events,
            body=_body(),
            body_kinds=(SENT_QUOTE, SENT_INTERACTION),
            scope="write",
            success=Success(kind=Accepted, example=Accepted(1, 1), status=202),
            problems=WRITING,
        ),
        ActionEndpoint(
            name="legacy_publish",
            method="POST",
            path="/add/request",
            tag="first version",
            summary="Publish a trade",
            description="Publishes its price as a quote and the trade as an interaction; the "
            "answer is sent once Kafka has both.",
            act=legacy,
            body=json_body(legacy_schema(), trade=_LEGACY_EVENT),
            scope="write",
            cost=0,
            success=Success(kind=LegacyAdded, example=LegacyAdded(_LEGACY_EVENT)),
            problems=WRITING,
        ),
    )


async def _of_file(lines: Iterator[Line], found: Lines) -> list[Message]:
    """Return the messages of lines, which `found` collects; other requests run in between."""
    while some := list(islice(lines, STEP)):
        found.take(some)
        await asyncio.sleep(0)
    return found.messages()


def _body() -> Schema:
    described = json_body(events_schema(), one=[_QUOTE], several=[_QUOTE, _INTERACTION])
    examples = {**dict.fromkeys(NDJSON, _NDJSON_EXAMPLE), CSV: _CSV_EXAMPLE}
    for media_type, example in examples.items():
        described["content"][media_type] = {"schema": {"type": "string"}, "example": example}
    return described
