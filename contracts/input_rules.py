"""What is refused of input beyond what the types of the messages say: a deployment's choice.

All who read the same topics must have the same, or an archive would have rows that no bar has.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec

_UNKNOWN_FIELD: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_NAME_CHARACTERS: Final = 60

S = TypeVar("S", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class InputRules:
    """By default all that the types allow."""

    earliest_ms: int = 0
    """of event times: one in seconds, where milliseconds are expected, lies in January 1970"""
    refuses_unknown_fields: bool = False
    """else a message is taken without the fields that its type does not have"""

    def check_time(self, ts_ms: int) -> None:
        """Judge an event time.

        Raises:
            ValueError: it is too early.
        """
        if ts_ms < self.earliest_ms:
            raise ValueError(self.too_early(ts_ms))

    def too_early(self, ts_ms: int) -> str:
        """Return why an event time is refused.

        >>> InputRules(631_152_000_000).too_early(1_629_061_628)
        'ts 1629061628 is before 1990-01-01 (EARLIEST_EVENT_DATE): it must be epoch milliseconds'
        """
        earliest = datetime.fromtimestamp(self.earliest_ms / 1000, UTC)
        return (
            f"ts {ts_ms} is before {earliest:%Y-%m-%d} (EARLIEST_EVENT_DATE): "
            "it must be epoch milliseconds"
        )


ANY: Final = InputRules()
"""All that the types allow."""


def strict(kind: type[S]) -> type[S]:
    """Return a type of messages like another one, which refuses fields that it does not have."""
    return msgspec.defstruct(  # type: ignore[return-value]
        kind.__name__,
        (),
        bases=(kind,),
        forbid_unknown_fields=True,
        frozen=True,
        gc=False,
        kw_only=True,
    )


def unknown_field(error: Exception) -> str | None:
    """Return the first field that a record has and its `strict` type does not, if that is wrong.

    >>> unknown_field(msgspec.ValidationError("Object contains unknown field `qty`"))
    'qty'
    """
    found = _UNKNOWN_FIELD.fullmatch(str(error))
    return found[1][:_NAME_CHARACTERS] if found else None
