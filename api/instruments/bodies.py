"""Bodies that describe instruments, by the contracts' rules. Pure."""

import msgspec

from api.http.problems import INVALID_REQUEST, MALFORMED_JSON, Problem
from contracts.instruments import (
    Instrument,
    InstrumentDescription,
    decode_instrument,
    encode_instrument,
)

_description = msgspec.json.Decoder(InstrumentDescription)


def parse_description(instrument_id: int, body: bytes) -> Instrument:
    """Return the instrument that a body describes.

    Raises:
        Problem: the body is not JSON, or breaks a rule.
    """
    try:
        told = _description.decode(body)
        instrument = Instrument(instrument_id=instrument_id, **msgspec.structs.asdict(told))
        return decode_instrument(encode_instrument(instrument))
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        raise _broken(path.rstrip("`") or "body", reason) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(MALFORMED_JSON, str(error)) from error
    except ValueError as error:
        raise _broken("body", str(error)) from error


def _broken(field: str, reason: str) -> Problem:
    errors = [{"field": field, "reason": reason}]
    return Problem(INVALID_REQUEST, f"{field}: {reason}", errors=errors)
