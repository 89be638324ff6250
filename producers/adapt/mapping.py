"""The mapping file, in TOML: which topics are read, and how their records become messages. Pure."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from producers.adapt.targets import TARGETS, Target, TargetName

Format = Literal["json", "avro", "protobuf", "json-schema"]
Envelope = Literal["none", "connect", "debezium"]
Unit = Literal["s", "ms", "us", "ns", "RFC 3339"]
Others = Literal["reject", "skip"]
Scalar = bool | int | float | str
Path_ = Annotated[str, Meta(pattern=r"^[^.\s]+(\.[^.\s]+)*$")]

_WAYS: Final = ("path", "mean", "symbol", "constant")
_TIME: Final = "ts"
_ID: Final = "instrument_id"
KEY: Final = "$key"
"""A path into the record's key begins with it."""


class MappingError(ValueError):
    """The mapping is invalid: the message names the place and what would be valid."""


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a field's value comes from: exactly one of the first four."""

    path: Path_ | None = None
    mean: tuple[Path_, Path_] | None = None
    """of two numbers, such as bid and ask"""
    symbol: Path_ | None = None
    """where the symbol of an instrument of the catalog is"""
    constant: Scalar | None = None
    default: Scalar | None = None
    """if there is no value"""
    unit: Unit = "ms"
    """of a time"""
    values: dict[str, Scalar] = {}
    """value of the record -> value of the message"""
    others: Others = "reject"
    """what becomes of a record with another value"""

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths that it reads."""
        return tuple(path for path in (self.path, self.symbol, *(self.mean or ())) if path)


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a record must meet to be mapped: exactly one of these on the value at a path."""

    path: Path_
    in_: tuple[Scalar, ...] = msgspec.field(default=(), name="in")
    not_in: tuple[Scalar, ...] = ()
    matches: str | None = None
    """a regular expression that matches the whole text"""
    not_matches: str | None = None

    def tests(self) -> dict[str, object]:
        """Return those that are given, by their names in the file."""
        said = {
            "in": self.in_,
            "not_in": self.not_in,
            "matches": self.matches,
            "not_matches": self.not_matches,
        }
        return {name: of for name, of in said.items() if of}


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A topic, and the messages that its records become."""

    topic: Annotated[str, Meta(min_length=1)]
    """its full name: `KAFKA_PREFIX` is not prepended"""
    into: TargetName
    fields: dict[str, Path_ | Field]
    example: str
    """a record's value, as JSON; of a binary format, what is decoded from it"""
    example_key: str | None = None
    format: Format = "json"
    envelope: Envelope = "none"
    key_format: Literal["text"] | Format = "text"
    schema: str | None = None
    """Avro: the path of the schema to read with; Protobuf: that of the descriptors. It is relative
    to the mapping"""
    message: str | None = None
    """Protobuf: the full name of the message type"""
    attributes: dict[str, Path_ | Field] = {}
    """of instruments"""
    where: tuple[Condition, ...] = ()
    """records that do not meet all of these are left out"""

    @property
    def target(self) -> Target:
        """What its records become."""
        return TARGETS[self.into]

    def rules(self) -> Iterator[tuple[str, Field]]:
        """Return each field of the message and its rule."""
        for name, rule in self.fields.items():
            yield name, _field(rule)
        for name, rule in self.attributes.items():
            yield f"attributes.{name}", _field(rule)

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths that its rules and conditions read."""
        conditions = (condition.path for condition in self.where)
        return (*conditions, *(path for _, rule in self.rules() for path in rule.paths))


class MappingFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mapping file."""

    sources: Annotated[tuple[Source, ...], Meta(min_length=1)]
    group: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,100}$")] = "adapt"
    """the consumer group, without `KAFKA_PREFIX`; each mapping needs its own"""


def _field(rule: str | Field) -> Field:
    return Field(path=rule) if isinstance(rule, str) else rule


def read_mapping(path: Path) -> MappingFile:
    """Return the mapping in a file.

    Raises:
        MappingError: it cannot be read, or is invalid.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        mapping = msgspec.convert(content, MappingFile)
        _check(mapping)
    except OSError as error:
        raise MappingError(f"{path}: {error.strerror}: give the path of a readable file") from None
    except ValueError as error:
        raise MappingError(f"{path}: {error}") from None
    return mapping


def _check(mapping: MappingFile) -> None:
    """Check what the types cannot express.

    Raises:
        MappingError: a source is invalid.
    """
    topics = [source.topic for source in mapping.sources]
    if twice := sorted({topic for topic in topics if topics.count(topic) > 1}):
        raise MappingError(f"topic {', '.join(twice)} is named twice: name each once")
    for source in mapping.sources:
        try:
            _check_source(source)
        except MappingError as error:
            raise MappingError(f"topic {source.topic}: {error}") from None


def _check_source(source: Source) -> None:
    known, needed = source.target.fields, source.target.needed
    if unknown := sorted(source.fields.keys() - known):
        raise MappingError(
            f"{source.into} have no field {', '.join(unknown)}, only {', '.join(known)}"
        )
    if missing := [name for name in needed if name not in source.fields]:
        raise MappingError(f"{source.into} need {', '.join(missing)}: add it to the table `fields`")
    if source.attributes and source.into != "instruments":
        raise MappingError(f"{source.into} have no attributes: take them out")
    if (source.format == "protobuf") != (source.message is not None):
        raise MappingError('`message`, the name of a type, goes with format = "protobuf"')
    if source.schema is not None and source.format not in ("avro", "protobuf"):
        raise MappingError(f'`schema` has no effect with format = "{source.format}": take it out')
    if source.key_format == "protobuf":
        raise MappingError("keys cannot be Protobuf: use text, json, avro or json-schema")
    for name, rule in source.rules():
        _check_field(source, name, rule)
    for condition in source.where:
        _check_condition(condition)


def _check_field(source: Source, name: str, rule: Field) -> None:
    said: Mapping[str, object] = msgspec.structs.asdict(rule)
    ways = [way for way in _WAYS if said[way] is not None]
    if len(ways) != 1:
        raise MappingError(
            f"{name} has {' and '.join(ways) or 'no source'}: give exactly one of "
            f"{', '.join(_WAYS)}"
        )
    if rule.symbol is not None and (name != _ID or source.into == "instruments"):
        raise MappingError(
            f"{name}: `symbol` is for the instrument_id of quotes and interactions: use `path`"
        )
    if rule.unit != "ms" and name != _TIME:
        raise MappingError(f"{name}: `unit` is for ts: take it out")
    if rule.constant is not None and rule.default is not None:
        raise MappingError(f"{name}: a constant needs no default: take it out")
    if rule.values and rule.path is None:
        raise MappingError(f"{name}: `values` goes with `path`")
    if rule.others != "reject" and not rule.values:
        raise MappingError(f"{name}: `others` goes with `values`")


def _check_condition(condition: Condition) -> None:
    tests = condition.tests()
    if len(tests) != 1:
        raise MappingError(
            f"where {condition.path}: {' and '.join(tests) or 'no condition'}: give exactly one of "
            "in, not_in, matches, not_matches"
        )
    try:
        re.compile(condition.matches or condition.not_matches or "")
    except (re.error, OverflowError) as error:
        raise MappingError(
            f"where {condition.path}: {error}: give a regular expression of Python's"
        ) from None
