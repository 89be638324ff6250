"""Maps the example of each source, so that a wrong mapping fails before it reads a record. Pure."""

import json
from typing import NamedTuple

import msgspec

from contracts.input_rules import ANY, InputRules
from producers.adapt.fields import UnmappableError
from producers.adapt.mapping import Condition, MappingError, Source
from producers.adapt.messages import Mapper, Outgoing, Unpublished

_ID_SHOWN = 0
"""Stands for what the catalog would have for a symbol: it may not be there yet."""


class Example(NamedTuple):
    """An example, and what becomes of it."""

    before: str
    after: Outgoing
    looked_up: tuple[str, ...]
    """the symbols whose ids are shown as 0"""


def example_of(source: Source, now_ms: int, rules: InputRules = ANY) -> Example:
    """Return what becomes of the example of a source.

    Raises:
        MappingError: it is not JSON, or it cannot be mapped.
    """
    looked_up: list[str] = []

    def find(symbol: str) -> int:
        looked_up.append(symbol)
        return _ID_SHOWN

    try:
        value = msgspec.json.decode(source.example)
        key = source.example_key
        if key is not None and source.key_format != "text":
            key = msgspec.json.decode(key)
        after = Mapper(source, find, rules)(value, key, now_ms, now_ms)
    except msgspec.DecodeError as error:
        raise MappingError(f"topic {source.topic}: the example is not JSON: {error}") from None
    except UnmappableError as error:
        raise MappingError(
            f"topic {source.topic}: the example cannot be mapped: {error}; correct the fields, or "
            "the example"
        ) from None
    if isinstance(after, Unpublished):
        why = "is left out" if after is Unpublished.LEFT_OUT else "says nothing"
        raise MappingError(f"topic {source.topic}: the example {why}: give one that is mapped")
    return Example(source.example, after, tuple(looked_up))


def text_of_example(source: Source, example: Example) -> str:
    """Return an example and what becomes of it, as lines."""
    where = [f"  where:  {describe_condition(condition)}" for condition in source.where]
    value = "none" if example.after.value is None else example.after.value.decode()
    notes = [f"  the id of {symbol!r} will be the catalog's" for symbol in example.looked_up]
    return "\n".join(
        (
            f"{source.topic} -> {example.after.topic}",
            *where,
            f"  before: {example.before.strip()}",
            f"  after:  key {example.after.key.decode()}, value {value}",
            *notes,
        )
    )


def describe_condition(condition: Condition) -> str:
    """Return a condition as a person reads it.

    >>> describe_condition(Condition(path="venue", in_=("XNAS", "XNYS")))
    'venue in ["XNAS", "XNYS"]'
    """
    ((name, said),) = condition.tests().items()
    return f"{condition.path} {name} {json.dumps(said, ensure_ascii=False)}"
