"""What became of recommendations, over HTTP, into Kafka."""

from collections.abc import Collection
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Depends, Response

from api import examples
from api.answers import FeedbackAccepted, respond
from api.events import MAX_EVENTS
from api.feedback import count, parse_feedback
from api.openapi import failed
from api.problems import INVALID_EVENTS, STORE_UNAVAILABLE
from api.request_ids import Signer
from api.routes.cases import WRITING
from api.services import Services, ServicesDep
from api.store import StoreUnavailableError
from api.writing import Body, require_key
from contracts.feedback import SentFeedback
from contracts.generations import DEFAULT_VARIANT

router = APIRouter(tags=["events"])

_IMPRESSION: Final = SentFeedback(
    type="impression",
    request_id=examples.RECOMMENDATIONS.request_id,
    user_id=examples.RECOMMENDATIONS.user_id,
    instrument_id=examples.RECOMMENDATIONS.items[0].instrument_id,
    position=1,
)
_CLICK: Final = msgspec.structs.replace(_IMPRESSION, type="click", ts=1629061628123)
_BROKEN: Final = (
    "1 of 2 events break a rule, so none was taken; the first is at index 1: "
    "Expected `int` >= 1 - at `$.position`"
)
_NO_KEY: Final = "Redis: no answer in 0.2 s"
"""Only until the process has read the key that request ids are signed with."""
_, _SCHEMAS = msgspec.json.schema_components((SentFeedback, FeedbackAccepted))


def _content(schema: dict[str, Any], **shown: Any) -> dict[str, Any]:
    values = {name: {"value": msgspec.to_builtins(value)} for name, value in shown.items()}
    return {"content": {"application/json": {"schema": schema, "examples": values}}}


def _body() -> dict[str, Any]:
    one = _SCHEMAS["SentFeedback"]
    several = {"type": "array", "items": one, "minItems": 1, "maxItems": MAX_EVENTS}
    schema = {"oneOf": [one, several]}
    return {"required": True, **_content(schema, one=_CLICK, several=[_IMPRESSION, _CLICK])}


_ACCEPTED: Final = _content(_SCHEMAS["FeedbackAccepted"], several=FeedbackAccepted(1, 1))


@router.post(
    "/v1/feedback",
    summary="Publish what was shown and clicked",
    status_code=202,
    dependencies=[Depends(require_key)],
    responses={
        202: {"description": "Success", **_ACCEPTED},
        **failed({**WRITING, INVALID_EVENTS: _BROKEN, STORE_UNAVAILABLE: _NO_KEY}),
    },
    openapi_extra={"requestBody": _body()},
)
async def feedback(services: ServicesDep, body: Body) -> Response:
    """One impression or click, or an array of up to 1,000; answered once Kafka has them all.

    `request_id` is that of the recommendations that it is about: one that this service did not
    make, or made for another user, breaks a rule. `position` is the instrument's place in what was
    shown, from 1; without `ts` it is about now. If one breaks a rule, none is taken, and `errors`
    names index, field and reason of each (of the first 20). What is sent twice counts twice in the
    metrics; readers of the topic can tell.
    """
    signer = await _signer(services)
    messages = parse_feedback(body, signer, services.now_ms())
    await services.publisher.publish(messages)
    for labels, number in count(messages, await _variants(services)).items():
        services.metrics.feedback.labels(*labels).inc(number)
    clicks = sum(message.type == "click" for message in messages)
    return respond(FeedbackAccepted(len(messages) - clicks, clicks), 202)


async def _signer(services: Services) -> Signer:
    """Return the signer with the latest key; with the last known one while Redis cannot tell."""
    try:
        return await services.store.answer(services.request_ids.latest())
    except StoreUnavailableError:
        return await services.store.answer(services.request_ids.signer())


async def _variants(services: Services) -> Collection[str]:
    """Return the variants that are served; only the default one while Redis cannot tell."""
    try:
        return {DEFAULT_VARIANT, *await services.store.answer(services.answering.variants())}
    except StoreUnavailableError:
        return {DEFAULT_VARIANT}
