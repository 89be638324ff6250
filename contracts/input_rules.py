"""Additional input validation beyond the message types, chosen by the deployment.

All readers of a topic must use the same rules, or an archive would have rows that no bar includes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec

from contracts.event_types import BUILT_IN

S = TypeVar("S", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class InputRules:
    """The default allows everything that the types allow, with the built-in types of events."""

    earliest_ms: int = 0
    """the earliest event time: one in seconds instead of milliseconds is in January 1970"""
    refuses_unknown_fields: bool = False
    """otherwise unknown fields of a message are ignored"""
    event_weights: Mapping[str, float] = field(default_factory=lambda: BUILT_IN)
    """each type of event, and its weight"""

    def check_time(self, ts_ms: int) -> None:
        """Check an event time.

        Raises:
            ValueError: it is too early.
        """
        if ts_ms < self.earliest_ms:
            raise ValueError(self.too_early(ts_ms))

    def too_early(self, ts_ms: int) -> str:
        """Return why an event time is rejected.

        >>> InputRules(631_152_000_000).too_early(1_629_061_628)
        'ts 1629061628 is before 1990-01-01 (EARLIEST_EVENT_DATE): it must be epoch milliseconds'
        """
        earliest = datetime.fromtimestamp(self.earliest_ms / 1000, UTC)
        return (
            f"ts {ts_ms} is before {earliest:%Y-%m-%d} (EARLIEST_EVENT_DATE): "
            "it must be epoch milliseconds"
        )


ANY: Final = InputRules()
"""Everything that the types allow, with the built-in types of events."""


def strict(kind: type[S]) -> type[S]:
    """Return a message type that is the same but rejects unknown fields."""
    return msgspec.defstruct(  # type: ignore[return-value]
        kind.__name__,
        (),
        bases=(kind,),
        forbid_unknown_fields=True,
        frozen=True,
        gc=False,
        kw_only=True,
    )
