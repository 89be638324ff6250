"""What the folds of `quotes` take."""

from typing import NamedTuple

from contracts.batches import QuoteColumns, decode_quotes, decode_quotes_with
from contracts.messages import Ints, Rejection
from contracts.topics import QUOTES
from stream_processors.compiled import CODE
from stream_processors.decoding.intake import Intake
from stream_processors.decoding.placement import Placement
from stream_processors.transport.batches import RecordBatch


class Quotes(NamedTuple):
    """The valid quotes of a batch, n of them, in log order."""

    columns: QuoteColumns
    offsets: Ints
    """(n,)"""


def decode(
    batch: RecordBatch, placement: Placement, intake: Intake
) -> tuple[Quotes, list[Rejection]]:
    """Return the quotes of a batch, and its invalid records."""
    if CODE.ordinary_quotes is None:
        columns, rejections = decode_quotes(batch.values(), batch.clock_ms(), intake.rules)
    else:
        columns, rejections = decode_quotes_with(
            CODE.ordinary_quotes, batch.records.values, batch.clock_ms(), intake.rules
        )
    intake.note(QUOTES.name, columns.unknown_fields)
    is_here, misplaced = placement.of_instruments(
        batch.tp.partition, columns.index, columns.instrument_id
    )
    if misplaced:
        columns = columns.take(is_here)
    return Quotes(columns, batch.offsets()[columns.index]), rejections + misplaced
