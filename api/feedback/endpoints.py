"""The endpoint of feedback on recommendations, from HTTP to Kafka."""

from collections.abc import Callable, Collection
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.events.publisher import Publisher
from api.feedback.parsing import SENT_FEEDBACK, count, parse_feedback
from api.generations.pointer import Generations
from api.generations.request_ids import RequestIds, Signer
from api.http.bodies import Writing
from api.http.endpoint import Success, Table, WriteEndpoint
from api.http.metrics import Metrics
from api.http.openapi_schemas import array_of, json_body, schema_of
from api.http.parsing import Resolve
from api.http.problems import INVALID_EVENTS, STORE_UNAVAILABLE, WRITING
from api.http.reply import respond
from api.redis.store import Store, StoreUnavailableError
from contracts.feedback import NO_VARIANT, SentFeedback
from contracts.generations import DEFAULT_VARIANT
from contracts.input_rules import InputRules

_IMPRESSION: Final = SentFeedback(
    type="impression",
    request_id="default.20210815T211000Z-7.history.AAA.Jq3xT0mBzv9cWd2LrK5uYAbRqW9nT2xYc0LmVd8sKfPA",
    user_id="ABC",
    instrument_id=0,
    position=1,
)
_CLICK: Final = msgspec.structs.replace(_IMPRESSION, type="click", ts=1629061628123)
_BROKEN: Final = (
    "1 of 2 events invalid, none accepted; the first is at index 1: "
    "position: must be a whole number of at least 1, got 0"
)
_NO_KEY: Final = "Redis: no answer in 0.2 s"
"""Only until the process has read the signing key of request ids."""


class FeedbackAccepted(msgspec.Struct, frozen=True):
    """How many messages of feedback Kafka has acknowledged."""

    impressions: int
    clicks: int


class Feedback:
    """Accepts feedback on the answers of one namespace."""

    def __init__(
        self,
        publisher: Publisher,
        store: Store,
        generations: Generations,
        request_ids: RequestIds,
        metrics: Metrics,
        now_ms: Callable[[], int],
        rules: InputRules,
        resolve: Resolve,
    ) -> None:
        self._publisher = publisher
        self._store = store
        self._generations = generations
        self._request_ids = request_ids
        self._counter = metrics.feedback
        self._now_ms = now_ms
        self._rules = rules
        self._resolve = resolve

    async def take(self, _request: Request, body: bytes) -> Response:
        """Publish the feedback of a body, and count it."""
        signer = await self._signer()
        messages = parse_feedback(body, signer, self._now_ms(), self._rules, self._resolve)
        await self._publisher.publish(messages)
        for labels, number in count(messages, await self._variants()).items():
            self._counter.labels(*labels).inc(number)
        clicks = sum(message.type == "click" for message in messages)
        return respond(FeedbackAccepted(len(messages) - clicks, clicks), 202)

    async def _signer(self) -> Signer:
        """Return the signer with the latest key; with the last known one if Redis is down."""
        try:
            return await self._store.answer(self._request_ids.latest())
        except StoreUnavailableError:
            return await self._store.answer(self._request_ids.signer())

    async def _variants(self) -> Collection[str]:
        """Return the variants that are served; of these only the default one if Redis is down."""
        try:
            return {
                DEFAULT_VARIANT,
                NO_VARIANT,
                *await self._store.answer(self._generations.variants()),
            }
        except StoreUnavailableError:
            return {DEFAULT_VARIANT, NO_VARIANT}


def endpoints(writing: Writing, feedback: Feedback) -> Table:
    """Return the endpoint of feedback."""
    return (
        WriteEndpoint(
            name="publish_feedback",
            method="POST",
            path="/v1/feedback",
            tag="events",
            summary="Publish what was shown and clicked",
            description="""\
One impression or click, or an array of up to 1,000; the answer is sent once Kafka has all of them.

`request_id` is that of the answer: recommendations, or similar or trending instruments. An id that
this service did not issue, or issued for another user, is invalid, and so is an instrument that was
not in the answer. `position` is the rank at
which the instrument was shown, from 1; `ts` defaults to now. If one is invalid, none is accepted,
and `errors` gives the index, field and reason of each (of the first 20). Feedback that is sent
twice counts twice in the metrics; readers of the topic can recognize it.""",
            receive=writing.events_of,
            act=feedback.take,
            body=json_body(
                array_of(schema_of(SENT_FEEDBACK)), one=[_CLICK], several=[_IMPRESSION, _CLICK]
            ),
            body_kinds=(SENT_FEEDBACK,),
            scope="write",
            success=Success(kind=FeedbackAccepted, example=FeedbackAccepted(1, 1), status=202),
            problems={**WRITING, INVALID_EVENTS: _BROKEN, STORE_UNAVAILABLE: _NO_KEY},
        ),
    )
