"""JSON bodies into what they say, or into the problem that they are.

A body has no fields but those of its type: one that is misspelt would be left out silently, and its
default would take its place.
"""

import re
from typing import Any, Final, TypeVar

import msgspec

from api.http.problems import MALFORMED_JSON, Problem, broken_rule

T = TypeVar("T")

_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`")


def strict_decoder(kind: type[T], tag: str | None = None) -> msgspec.json.Decoder[T]:
    """Return a decoder of a struct that refuses fields which it does not have.

    Args:
        kind: whose other readers may be lenient.
        tag: what a field `type` must say, apart from the struct's own fields; None: there is none.
    """
    tagged: dict[str, Any] = {} if tag is None else {"tag_field": "type", "tag": tag}
    strict = msgspec.defstruct(
        kind.__name__, [], bases=(kind,), forbid_unknown_fields=True, frozen=True, **tagged
    )
    return msgspec.json.Decoder(strict)


def explained(reason: str, kind: Any) -> tuple[str, str | None]:
    """Return why a body is no `kind`, and the field that an unknown one is, if that is why.

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
    """Return what a body says.

    Raises:
        Problem: it is not JSON, or breaks a rule of the decoder's type.
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
