"""Decodes JSON bodies, or returns the problem with them.

Unknown fields are rejected: a misspelt one would be ignored silently, and its default used instead.
"""

import re
from typing import Any, Final, TypeVar

import msgspec

from api.http.problems import MALFORMED_JSON, Problem, broken_rule

T = TypeVar("T")

_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`")


def strict_decoder(kind: type[T], tag: str | None = None) -> msgspec.json.Decoder[T]:
    """Return a decoder of a struct that rejects unknown fields.

    Args:
        kind: a struct, which other readers may decode leniently.
        tag: the value of an additional field `type`; None: there is no such field.
    """
    tagged: dict[str, Any] = {} if tag is None else {"tag_field": "type", "tag": tag}
    strict = msgspec.defstruct(
        kind.__name__, [], bases=(kind,), forbid_unknown_fields=True, frozen=True, **tagged
    )
    return msgspec.json.Decoder(strict)


def explained(reason: str, kind: Any) -> tuple[str, str | None]:
    """Return why a body is not a `kind`, and the name of the field if that is unknown.

    Args:
        reason: msgspec's.
        kind: a struct.
    """
    found = _UNKNOWN.match(reason)
    if found is None:
        return reason, None
    config = kind.__struct_config__
    tag = [config.tag_field] if config.tag_field else []
    known = ", ".join([*tag, *kind.__struct_encode_fields__])
    return f"{reason}, known: {known}", found["field"]


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Return the decoded body.

    Raises:
        Problem: it is not JSON, or not valid for the decoder's type.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        path = path.rstrip("`")
        unknown = _UNKNOWN.match(reason)
        if unknown is not None and path:
            raise broken_rule(f"{path}.{unknown['field']}", reason) from error
        reason, field = explained(reason, decoder.type)
        raise broken_rule(path or field or "body", reason) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(MALFORMED_JSON, str(error)) from error
