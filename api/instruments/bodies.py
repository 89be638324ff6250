"""Parses bodies that describe instruments, by the contracts' rules. Pure."""

import msgspec

from api.http.bodies import decoded, strict_decoder
from api.http.problems import broken_rule
from contracts.instruments import (
    Instrument,
    InstrumentDescription,
    decode_instrument,
    encode_instrument,
)

_description = strict_decoder(InstrumentDescription)


def parse_description(instrument_id: int, body: bytes) -> Instrument:
    """Return the instrument that a body describes.

    Raises:
        Problem: the body is not JSON, or invalid.
    """
    description = decoded(_description, body)
    try:
        instrument = Instrument(instrument_id=instrument_id, **msgspec.structs.asdict(description))
        return decode_instrument(encode_instrument(instrument))
    except ValueError as error:
        raise broken_rule("body", str(error)) from error
