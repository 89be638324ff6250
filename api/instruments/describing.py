"""The endpoints that change the catalog, by way of its topic, so that the log is complete."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
from starlette.responses import Response

from api.http.bodies import Writing, decoded, strict_decoder
from api.http.endpoint import Success, Table, WriteEndpoint
from api.http.openapi import json_body, schema_of
from api.http.parameters import INSTRUMENT, Parameter
from api.http.parsing import parse_instrument_id
from api.http.problems import (
    INVALID_EVENTS,
    INVALID_REQUEST,
    LOG_UNAVAILABLE,
    OVERLOADED,
    RATE_LIMITED,
    WRITING,
    ProblemType,
    broken_rule,
)
from api.http.replies import respond
from api.instruments.answers import AcceptedInstrument
from contracts.instruments import (
    Delisting,
    Instrument,
    InstrumentDescription,
    InstrumentTooLargeError,
)

Publish = Callable[[Sequence[Instrument | Delisting]], Awaitable[None]]
"""Returns once Kafka has acknowledged them."""

_ID: Final = Parameter("instrument", parse_instrument_id, INSTRUMENT, "the instrument's id")
_DESCRIPTION: Final = InstrumentDescription(
    symbol="AAPL", name="Apple Inc.", categories=("tech",), attributes={"currency": "USD"}
)
_ACCEPTED: Final = Success(kind=AcceptedInstrument, example=AcceptedInstrument(4), status=202)
_PROBLEMS: Final[dict[ProblemType, str]] = {
    **{kind: case for kind, case in WRITING.items() if kind is not INVALID_EVENTS},
    INVALID_REQUEST: "symbol: Expected `str` matching regex '^[A-Za-z0-9._:/-]+$'",
}
_TAKING_OUT: Final[dict[ProblemType, str]] = {
    **{kind: WRITING[kind] for kind in (LOG_UNAVAILABLE, OVERLOADED, RATE_LIMITED)},
    INVALID_REQUEST: "instrument: must be a whole number from 0 to 9223372036854775807",
}

_description = strict_decoder(InstrumentDescription)


def endpoints(writing: Writing, publish: Publish) -> Table:
    """Return the endpoints that change the catalog."""

    async def describe(body: bytes, instrument: int) -> Response:
        description = decoded(_description, body)
        described = Instrument(instrument_id=instrument, **msgspec.structs.asdict(description))
        try:
            await publish([described])
        except InstrumentTooLargeError as error:  # as a record, which publishing makes of it
            raise broken_rule("body", str(error)) from error
        return respond(AcceptedInstrument(instrument), 202)

    async def take_out(_: bytes, instrument: int) -> Response:
        await publish([Delisting(instrument)])
        return respond(AcceptedInstrument(instrument), 202)

    return (
        WriteEndpoint(
            name="put_instrument",
            method="PUT",
            path="/v1/instruments/{instrument}",
            tag="instruments",
            summary="Describe an instrument",
            description="""\
Adds it to the catalog, or replaces its entry as a whole; the answer is sent once Kafka has
acknowledged it. Reads reflect it within a second or two. For an instrument that cannot be traded
for now, set `listed` to false: it can then still be found, but is not recommended.""",
            parameters=(_ID,),
            receive=writing.body_of,
            act=describe,
            body=json_body(schema_of(InstrumentDescription), description=_DESCRIPTION),
            body_kinds=(InstrumentDescription,),
            scope="admin",
            success=_ACCEPTED,
            problems=_PROBLEMS,
        ),
        WriteEndpoint(
            name="delete_instrument",
            method="DELETE",
            path="/v1/instruments/{instrument}",
            tag="instruments",
            summary="Remove an instrument from the catalog",
            description="Answered once Kafka has acknowledged it. Its bars and the users' "
            "interactions with it are kept.",
            parameters=(_ID,),
            receive=writing.nothing_of,
            act=take_out,
            scope="admin",
            success=_ACCEPTED,
            problems=_TAKING_OUT,
        ),
    )
