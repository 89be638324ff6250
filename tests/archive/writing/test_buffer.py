"""What is read is committed once: the buffer against a plain list of records."""

import pyarrow as pa
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from archive.writing.buffer import Buffer, Taken
from runtime.archive.positions import Position, stepped

SCHEMA = pa.schema([pa.field("offset", pa.int64())])
TOPIC = "topic"


class Reading(RuleBasedStateMachine):
    """One partition is read, taken, committed, lost and begun again in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = Buffer(SCHEMA)
        self.positions: dict[int, Position] = {}
        self.table: list[int] = []
        self.taken: Taken | None = None
        self.begin()

    @rule()
    def begin(self) -> None:
        before = self.positions.get(0)
        self.buffer.begin(0, before, before or Position(TOPIC, 0, 0))

    @rule(n=st.integers(1, 5))
    @precondition(lambda self: 0 in self.buffer.partitions)
    def read(self, n: int) -> None:
        at = self.buffer.position(0)
        assert at is not None
        batch = pa.record_batch([pa.array(range(at.next, at.next + n), pa.int64())], SCHEMA)
        self.buffer.add(0, batch, at.next + n)

    @rule()
    def be_sure(self) -> None:
        self.buffer.confirm()

    @rule()
    def doubt(self) -> None:
        self.buffer.drop_unconfirmed()

    @rule()
    def drop(self) -> None:
        self.buffer.drop(0)

    @rule()
    def take(self) -> None:
        self.taken = self.buffer.take()

    @rule(rows=st.integers(0, 12))
    def take_some(self, rows: int) -> None:
        self.taken = self.buffer.take({0: rows} if self.has_something else None)
        assert self.taken.rows.num_rows <= rows or not self.has_something

    @property
    def has_something(self) -> bool:
        return not self.buffer.is_empty

    @precondition(lambda self: self.taken is not None)
    @rule()
    def commit(self) -> None:
        taken, self.taken = self.taken, None
        assert taken is not None
        if any(self.positions.get(p) != moved.before for p, moved in taken.moved.items()):
            return  # as `runtime.archive.positions.stepped` refuses it
        self.positions = stepped(self.positions, taken.moved)
        self.table += taken.rows["offset"].to_pylist()
        self.buffer.committed(taken)

    @invariant()
    def the_table_has_what_its_position_says(self) -> None:
        end = self.positions[0].next if self.positions else 0
        assert self.table == list(range(end))


TestReading = Reading.TestCase
