"""JSON bodies into what they say, or into the problem that they are."""

from typing import TypeVar

import msgspec

from api.http.problems import MALFORMED_JSON, Problem, broken_rule

T = TypeVar("T")


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Return what a body says.

    Raises:
        Problem: it is not JSON, or breaks a rule of the decoder's type.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        raise broken_rule(path.rstrip("`") or "body", reason) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(MALFORMED_JSON, str(error)) from error
