"""Maps a decoded record to the record that is published. Pure."""

import contextlib
import re
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.inspect import StrType, StructType, VarTupleType, type_info

from contracts.input_rules import ANY, InputRules
from contracts.instruments import decode_instrument_record, instrument_key
from contracts.reasons import violation
from producers.adapt.envelopes import payload_of, unwrap
from producers.adapt.fields import (
    Find,
    LeftOutError,
    Row,
    UnmappableError,
    at_path,
    instrument_id,
    plain,
    reader,
    text,
    text_of,
)
from producers.adapt.mapping import Condition, Source

_ATTRIBUTE: Final = "attributes."
_ID: Final = "instrument_id"

Unmet = Callable[[Row], Condition | None]


class Outgoing(NamedTuple):
    """A record to publish."""

    topic: str
    key: bytes
    value: bytes | None
    replaces: bytes | None = None
    """key of an instrument that is to be removed: this one had its id"""


class Unpublished(Enum):
    """Why nothing becomes of a record that is not bad."""

    SAYS_NOTHING = auto()
    """a tombstone of Debezium's, or an update of a row that is an event"""
    LEFT_OUT = auto()
    """by a condition of the mapping"""


class Mapper:
    """Maps the records of a source."""

    def __init__(self, source: Source, find: Find, rules: InputRules = ANY) -> None:
        """Take the source, a function to the id of a symbol, and the deployment's rules."""
        self._source = source
        self._target = source.target
        self._rules = rules
        kinds = type_info(self._target.message)
        assert isinstance(kinds, StructType)  # noqa: S101 (narrows the type)
        texts = {field.name for field in kinds.fields if isinstance(field.type, StrType)}
        lists = {field.name for field in kinds.fields if isinstance(field.type, VarTupleType)}
        is_ambiguous = source.envelope == "debezium" and source.format == "json"
        readers = {
            name: reader(name, rule, find, is_ambiguous=is_ambiguous)
            for name, rule in source.rules()
        }
        normal: dict[str, Callable[[Any], Any]] = {
            **dict.fromkeys(texts, text),
            **dict.fromkeys(lists, _listed),
            _ID: instrument_id,
        }
        self._fields = [
            (name, read, normal.get(name, plain))
            for name, read in readers.items()
            if not name.startswith(_ATTRIBUTE)
        ]
        self._attributes = [
            (name, read) for name, read in readers.items() if name.startswith(_ATTRIBUTE)
        ]
        self._id = readers[_ID]
        self._message = self._target.message
        self._skips_updates = source.into == "interactions"
        self._unmet = _first_unmet(source.where)

    def __call__(
        self, value: Any, key: Any, timestamp_ms: int | None, now_ms: int
    ) -> Outgoing | Unpublished:
        """Return what becomes of a record, or why nothing does.

        Args:
            value: decoded; None for a tombstone.
            key: decoded; None if the mapping does not read it.
            timestamp_ms: Kafka's, epoch ms.
            now_ms: the clock, epoch ms.

        Raises:
            UnmappableError: it cannot be mapped.
        """
        change = unwrap(self._source.envelope, value)
        if change is None or (change.is_update and self._skips_updates):
            return Unpublished.SAYS_NOTHING
        row = Row(change.row, payload_of(key), timestamp_ms, change.envelope)
        try:
            if change.is_removal:
                return self._removal(row)
            record = self._published(row, now_ms)
            if not change.is_update or self._source.into != "instruments":
                return record or Unpublished.LEFT_OUT
            # A row that was published before it changed is in the catalog still.
            former = None
            with contextlib.suppress(UnmappableError, LeftOutError):
                former = self._removal(row._replace(value=change.before))
            if record is None:
                return former or self._removal(row)
        except LeftOutError:  # the id is, so it never was in the catalog
            return Unpublished.LEFT_OUT
        is_other = former is not None and former.key != record.key
        return record._replace(replaces=former.key) if former and is_other else record

    def _published(self, row: Row, now_ms: int) -> Outgoing | None:
        """Return what becomes of a row, None if the mapping leaves it out."""
        if self._unmet is not None and self._unmet(row) is not None:
            return None
        try:
            message = self._message_of(row)
        except LeftOutError:
            return None
        try:
            self._target.check(message, now_ms, self._rules)
            encoded = self._target.encode(message)
        except ValueError as error:
            raise UnmappableError(str(error)) from None
        return Outgoing(self._target.topic.name, self._target.key_of(message), encoded)

    def _message_of(self, row: Row) -> Any:
        content: dict[str, Any] = {}
        name = ""
        try:
            for name, read, normal in self._fields:
                if (value := read(row)) is not None:
                    content[name] = normal(value)
            if self._attributes:
                attributes = content["attributes"] = {}
                for name, read in self._attributes:
                    if (value := read(row)) is not None:
                        attributes[name.removeprefix(_ATTRIBUTE)] = plain(value)
        except UnmappableError as error:
            raise type(error)(f"{name}: {error}") from None
        try:
            return msgspec.convert(content, self._message, strict=False)
        except msgspec.ValidationError as error:
            raise UnmappableError(str(violation(error, content))) from None

    def _removal(self, row: Row) -> Outgoing:
        """Return the tombstone of an instrument.

        Raises:
            UnmappableError: a quote or an event cannot be taken back, or the id is not known.
            LeftOutError: the mapping leaves out this id.
        """
        name = self._source.into
        if name != "instruments":
            raise UnmappableError(f"a record without a row: {name} cannot be removed one by one")
        try:
            found = self._id(row)
            if found is not None:
                key = instrument_key(msgspec.convert(instrument_id(found), int, strict=False))
                decode_instrument_record(key, None, self._rules)
        except ValueError as error:
            raise UnmappableError(f"{_ID}: {error}") from None
        if found is None:
            raise UnmappableError(
                "the removal names no instrument_id: map it from `$key`, or have the database "
                "log the key of a deleted row"
            )
        return Outgoing(self._target.topic.name, key, None)


def _listed(value: Any) -> Any:
    """Return a single category as a list."""
    return value if isinstance(value, list | tuple) else [value]


def _first_unmet(conditions: tuple[Condition, ...]) -> Unmet | None:
    """Return a function to the first condition that a record does not meet, None if it meets all.

    Values are compared as text, as those of `values`. A record without a value meets `not_in` and
    `not_matches`, and no other condition.
    """
    if not conditions:
        return None
    checks = [(condition, _check(condition)) for condition in conditions]
    return lambda row: next((its for its, is_met in checks if not is_met(row)), None)


def _check(condition: Condition) -> Callable[[Row], bool]:
    read = at_path(condition.path)
    among = condition.in_ or condition.not_in
    expects = bool(condition.in_ or condition.matches)
    if among:
        texts = frozenset(map(text_of, among))
        holds: Callable[[str], object] = texts.__contains__
    else:
        holds = re.compile(condition.matches or condition.not_matches or "").fullmatch

    def is_met(row: Row) -> bool:
        value = read(row)
        return (value is not None and bool(holds(text_of(value)))) is expects

    return is_met
