"""Quotes and interactions over HTTP, into Kafka."""

from fastapi import APIRouter, Depends, Response

from api import examples
from api.answers import Accepted, respond
from api.events import parse_events
from api.openapi import answered, events_body, failed
from api.routes.cases import WRITING
from api.services import ServicesDep
from api.writing import Body, require_key
from contracts.messages import Quote

router = APIRouter(tags=["events"])


@router.post(
    "/v1/events",
    summary="Publish quotes and interactions",
    status_code=202,
    dependencies=[Depends(require_key)],
    responses={**answered(Accepted, examples.ACCEPTED, 202), **failed(WRITING)},
    openapi_extra=events_body(),
)
async def events(services: ServicesDep, body: Body) -> Response:
    """One event or an array of up to 1,000, each with its `type`: `quote` or `interaction`.

    Answered once Kafka has acknowledged them all. If one breaks a rule, none is taken, and
    `errors` names index, field and reason of each (of the first 20).
    """
    messages = parse_events(body, services.now_ms())
    await services.publisher.publish(messages)
    quotes = sum(isinstance(message, Quote) for message in messages)
    return respond(Accepted(quotes, len(messages) - quotes), 202)
