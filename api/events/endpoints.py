"""The endpoints of events: quotes and interactions, from HTTP to Kafka."""

from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from api.events.bodies import (
    SENT_INTERACTION,
    SENT_QUOTE,
    Accepted,
    LegacyAdded,
    LegacyEvent,
    accepted,
    events_schema,
    legacy_schema,
)
from api.events.lateness import Lateness
from api.events.parsing import parse_events, parse_legacy
from api.events.publisher import Publisher
from api.http.bodies import Writing
from api.http.endpoint import Success, Table, WriteEndpoint
from api.http.openapi_schemas import json_body
from api.http.parsing import Resolve
from api.http.problems import WRITING
from api.http.reply import respond
from contracts.input_rules import InputRules

QUOTE: Final[dict[str, Any]] = {
    "type": "quote",
    "instrument_id": 4,
    "price": 30.72,
    "size": 100,
    "ts": 1629061628123,
}
INTERACTION: Final[dict[str, Any]] = {
    "type": "interaction",
    "user_id": "ABC",
    "instrument_id": 4,
    "event": "trade",
    "price": 10.273,
    "quantity": 2,
    "ts": 1629061628123,
}
_LEGACY_EVENT: Final = LegacyEvent(userid="ABC", price="10.273", timestamp="1629061628", instrid=4)


def endpoints(
    writing: Writing,
    publisher: Publisher,
    lateness: Lateness,
    now_ms: Callable[[], int],
    rules: InputRules,
    resolve: Resolve,
) -> Table:
    """Return the endpoints of events; `resolve` finds instruments by their symbols."""

    async def events(_request: Request, body: bytes) -> Response:
        messages = parse_events(body, now_ms(), rules, resolve)
        late = await lateness.of(messages)
        await publisher.publish(messages)
        return respond(accepted(messages, late), 202)

    async def legacy(_request: Request, body: bytes) -> Response:
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
            description="""\
One event or an array of up to 1,000, each with its `type`: `quote` or `interaction`.

The answer is sent once Kafka has acknowledged all of them. If one is invalid, none is accepted, and
`errors` gives the index, field and reason of each (of the first 20). `late` counts the quotes that
will make no bar; those of the last two minutes are not checked.""",
            receive=writing.events_of,
            act=events,
            body=json_body(events_schema(), one=[QUOTE], several=[QUOTE, INTERACTION]),
            body_kinds=(SENT_QUOTE, SENT_INTERACTION),
            scope="write",
            success=Success(kind=Accepted, example=Accepted(1, 1, 0), status=202),
            problems=WRITING,
        ),
        WriteEndpoint(
            name="legacy_publish",
            method="POST",
            path="/add/request",
            tag="first version",
            summary="Publish a trade",
            description="Publishes its price as a quote and the trade as an interaction; the "
            "answer is sent once Kafka has both.",
            receive=writing.events_of,
            act=legacy,
            body=json_body(legacy_schema(), trade=_LEGACY_EVENT),
            scope="write",
            success=Success(kind=LegacyAdded, example=LegacyAdded(_LEGACY_EVENT)),
            problems=WRITING,
        ),
    )
