"""Folds records of `instruments` into the catalog: the newest record of an instrument counts.

A removed instrument leaves nothing behind, not even an offset: a worker that rereads its records
after a crash may write it again, and removes it when it reaches its tombstone.
"""

from collections.abc import Iterator, Sequence, Set
from typing import Final

import msgspec

from contracts.instruments import CatalogEntry, Instrument
from contracts.log_position import NOTHING, LogPosition
from contracts.topics import INSTRUMENTS
from stream_processors import metrics
from stream_processors.decoding.instruments import InstrumentRecord
from stream_processors.partition.fold import Fold
from stream_processors.store.chunks import Group, Unwritten, command
from stream_processors.store.claims import Claim

# Records between two checks of how much is unwritten: decoding them takes some 20 ms.
_RECORDS_AT_ONCE: Final = 2_000
# Entries that may wait to be written, up to 8 KiB each.
_MAX_UNWRITTEN: Final = 10_000
# Instruments remembered so as not to query Redis again, some 150 bytes each.
_MARKS_CACHED: Final = 200_000
# A reply may have 8 KiB per field, so one script call reads fewer than it would write.
_READ_COST: Final = 500
_READ_AT_ONCE: Final = 100


class _Stored(msgspec.Struct, frozen=True, gc=False):
    """What a fold needs of a `CatalogEntry` in Redis."""

    off: LogPosition


_stored = msgspec.json.Decoder(_Stored)
_encode = msgspec.json.Encoder().encode


class CatalogFold(Fold[Sequence[InstrumentRecord]]):
    """One partition's instruments."""

    records_at_once = _RECORDS_AT_ONCE

    def __init__(self, claim: Claim) -> None:
        """Take the partition."""
        self._claim = claim
        self._key = claim.keyspace.catalog(claim.partition)
        # By the id's text: clients could choose integers that collide in a dict.
        self._stored_marks: dict[str, int] = {}
        """instrument id -> mark of the record that Redis had when it was first touched"""
        self._unwritten: dict[str, str | None] = {}
        """instrument id -> its entry, None if it was removed"""
        self._n_written = 0

    @property
    def is_full(self) -> bool:
        """Whether more is unwritten than memory should hold."""
        return len(self._unwritten) > _MAX_UNWRITTEN

    def begun(self) -> Unwritten:
        """Delete the catalog of an earlier log: only instruments in the new one count."""
        deleted = Group(self._key, command("UNLINK", []))
        return Unwritten([deleted] if self._claim.starts_over else [])

    async def take(self, records: Sequence[InstrumentRecord]) -> None:
        """Fold records."""
        ids = [str(instrument_id) for _, instrument_id, _ in records]
        await self._read_marks(set(ids))
        replayed = 0
        for instrument_id, (offset, _, instrument) in zip(ids, records, strict=True):
            off = LogPosition(self._claim.incarnation, offset)
            if off.mark <= self._stored_marks[instrument_id]:
                replayed += 1
                continue
            self._unwritten[instrument_id] = None if instrument is None else _entry(instrument, off)
        metrics.REPLAYED.labels(INSTRUMENTS.name).inc(replayed)

    async def unwritten(self) -> Unwritten:
        """Return the instruments that changed."""
        changed, self._unwritten = self._unwritten, {}
        self._n_written = len(changed)
        return Unwritten(self._groups(changed))

    def written(self) -> None:
        """Count the written instruments; drop the cache of stored positions if it is large."""
        metrics.FLUSHED_VALUES.labels(INSTRUMENTS.name).inc(self._n_written)
        if len(self._stored_marks) > _MARKS_CACHED:
            self._stored_marks.clear()

    async def _read_marks(self, instrument_ids: Set[str]) -> None:
        """Read which records Redis has of instruments that are not in memory."""
        unknown = sorted(instrument_ids - self._stored_marks.keys())
        questions = (
            Group(self._key, command("HMGET", unknown[at : at + _READ_AT_ONCE]))
            for at in range(0, len(unknown), _READ_AT_ONCE)
        )
        answers = await self._claim.read(questions, _READ_COST) if unknown else []
        entries = (entry for answer in answers for entry in answer)
        for instrument_id, entry in zip(unknown, entries, strict=True):
            self._stored_marks[instrument_id] = _stored.decode(entry).off.mark if entry else NOTHING

    def _groups(self, changed: dict[str, str | None]) -> Iterator[Group]:
        for field, entry in changed.items():
            if entry is None:
                yield Group(self._key, command("HDEL", [field]))
            else:
                yield Group(self._key, command("HSET", [field, entry]))


def _entry(instrument: Instrument, off: LogPosition) -> str:
    return _encode(CatalogEntry(**msgspec.structs.asdict(instrument), off=off)).decode()
