"""`frames` as machine code."""

from typing import Any

from stream_processors.compiled import frames
from stream_processors.compiled.numba_types import (
    BYTES,
    INT,
    INTS,
    TABLE,
    as_bytes,
    compiled,
    inlined,
)

for _function in frames.INLINED:
    inlined(_function)
_read: Any = compiled(INT, BYTES, *[INTS] * 6, TABLE, *[INTS] * 8)(frames.read)


def read(data: bytes, batches: Any, rows: Any, faults: Any, columns: Any) -> int:
    """Call `frames.read`."""
    return int(_read(as_bytes(data), *batches, rows, faults, *columns))
