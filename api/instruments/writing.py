"""The endpoints that change the catalog, by way of its topic, so that the log is complete."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.events.parsing import parse_each
from api.http.bodies import MAX_EVENTS, Writing, decoded, strict_decoder
from api.http.endpoint import Success, Table, WriteEndpoint
from api.http.openapi_schemas import array_of, json_body, schema_of
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
from api.http.reply import respond
from api.instruments.answers import AcceptedInstrument, AcceptedInstruments
from contracts.decoding import decode_alone
from contracts.instruments import (
    Delisting,
    Instrument,
    InstrumentDescription,
    InstrumentTooLargeError,
    encode_instrument,
)

Publish = Callable[[Sequence[Instrument | Delisting]], Awaitable[None]]
"""Returns once Kafka has acknowledged them."""

_ID: Final = Parameter("instrument", parse_instrument_id, INSTRUMENT, "the instrument's id")
_DESCRIPTION: Final = InstrumentDescription(
    symbol="AAPL", name="Apple Inc.", categories=("tech",), attributes={"currency": "USD"}
)
_INSTRUMENT: Final = Instrument(instrument_id=4, **msgspec.structs.asdict(_DESCRIPTION))
_ACCEPTED: Final = Success(kind=AcceptedInstrument, example=AcceptedInstrument(4), status=202)
_PROBLEMS: Final[dict[ProblemType, str]] = {
    **{kind: case for kind, case in WRITING.items() if kind is not INVALID_EVENTS},
    INVALID_REQUEST: "symbol: must be a symbol of letters, digits and . _ : / -, with no part "
    '`.`, `..` or empty, got "BRK B": write BRK.B',
}
_TAKING_OUT: Final[dict[ProblemType, str]] = {
    **{kind: WRITING[kind] for kind in (LOG_UNAVAILABLE, OVERLOADED, RATE_LIMITED)},
    INVALID_REQUEST: "instrument: must be a whole number from 0 to 9223372036854775807",
}

_BREAKING_A_RULE: Final = (
    "1 of 2 instruments invalid, none accepted; the first is at index 1: "
    'name: must be text of at least 1 character, got ""'
)

_description = strict_decoder(InstrumentDescription)
_instrument = strict_decoder(Instrument)


def endpoints(writing: Writing, publish: Publish) -> Table:
    """Return the endpoints that change the catalog."""

    async def describe(_request: Request, body: bytes, instrument: int) -> Response:
        description = decoded(_description, body)
        described = Instrument(instrument_id=instrument, **msgspec.structs.asdict(description))
        try:
            await publish([described])
        except InstrumentTooLargeError as error:  # as a record, which publishing makes of it
            raise broken_rule("body", str(error)) from error
        return respond(AcceptedInstrument(instrument), 202)

    async def describe_many(_request: Request, body: bytes) -> Response:
        instruments = parse_instruments(body)
        await publish(instruments)
        return respond(AcceptedInstruments(len(instruments)), 202)

    async def take_out(_request: Request, _body: bytes, instrument: int) -> Response:
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
acknowledged it. Reads reflect it soon after. For an instrument that cannot be traded for now, set
`listed` to false: it can then still be found, but is not recommended.""",
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
            name="put_instruments",
            method="PUT",
            path="/v1/instruments",
            tag="instruments",
            summary="Describe several instruments",
            description=f"""\
1 to {MAX_EVENTS} entries, each of another instrument: adds them to the catalog, or replaces their
entries as a whole; others stay. The answer is sent once Kafka has acknowledged all of them. If one
is invalid, none is accepted, and `errors` gives the index, field and reason of each (of the first
20).""",
            receive=writing.events_of,
            act=describe_many,
            body=json_body(array_of(schema_of(Instrument)), several=[_INSTRUMENT]),
            body_kinds=(Instrument,),
            scope="admin",
            success=Success(kind=AcceptedInstruments, example=AcceptedInstruments(1), status=202),
            problems={**WRITING, INVALID_EVENTS: _BREAKING_A_RULE},
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


def parse_instruments(body: bytes) -> list[Instrument]:
    """Return the instruments of a body: one, or an array of 1 to `MAX_EVENTS` with different ids.

    Raises:
        MalformedBodyError, InvalidEventsError: as `api.events.parsing.parse_each`.
    """
    known: set[int] = set()

    def instrument_of(value: bytes) -> Instrument:
        sent = decode_alone(_instrument, value)
        if sent.instrument_id in known:
            raise ValueError(f"instrument_id {sent.instrument_id} appears twice: send it once")
        known.add(sent.instrument_id)
        instrument = Instrument(**msgspec.structs.asdict(sent))
        encode_instrument(instrument)  # else publishing would reject it, without its index
        return instrument

    return parse_each(body, instrument_of, "instruments")
