"""What records become: a table of the topics, their messages and their rules. Pure."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from contracts.input_rules import InputRules
from contracts.instruments import Instrument, encode_instrument, instrument_key
from contracts.messages import Interaction, Quote, check_interaction, check_quote, encode, key_of
from contracts.topics import INSTRUMENTS, INTERACTIONS, QUOTES, Topic

TargetName = Literal["quotes", "interactions", "instruments"]


@dataclass(frozen=True, slots=True)
class Target:
    """A topic that records are published to."""

    topic: Topic
    message: type[msgspec.Struct]
    check: Callable[[Any, int, InputRules], None]
    """message, the clock, epoch ms, and the deployment's rules -> ValueError if it breaks one"""
    key_of: Callable[[Any], bytes]
    encode: Callable[[Any], bytes]

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that `fields` in a mapping may name."""
        names = self.message.__struct_fields__
        return tuple(name for name in names if name != "attributes")

    @property
    def needed(self) -> list[str]:
        """The fields that it must name."""
        return [field.name for field in msgspec.structs.fields(self.message) if field.required]


def _check_instrument(instrument: Instrument) -> None:
    """Check what JSON cannot express, and would write as null.

    Raises:
        ValueError: an attribute is not finite.
    """
    for name, value in instrument.attributes.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"attributes.{name} is {value}, which is no number in JSON")


TARGETS: Final[Mapping[TargetName, Target]] = {
    "quotes": Target(QUOTES, Quote, check_quote, key_of, encode),
    "interactions": Target(INTERACTIONS, Interaction, check_interaction, key_of, encode),
    "instruments": Target(
        INSTRUMENTS,
        Instrument,
        lambda instrument, *_: _check_instrument(instrument),
        lambda instrument: instrument_key(instrument.instrument_id),
        encode_instrument,
    ),
}
