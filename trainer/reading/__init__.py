"""Reads what the workers keep in Redis: counts and histories, as arrays, while it is written.

This is all that the rest of the trainer imports of it. Below: hashes come in blocks (`hashes`), as
bytes over connections of its own (`wire`), whose fields are spans of these bytes (`replies`,
`fields`), parsed many at once (`numerals`, `entries`, `history_hashes`). A few corrupt values are
left out and named (`quarantine`), many are an error.
"""

from trainer.reading.active import by_time
from trainer.reading.gram import read_gram
from trainer.reading.histories import read_histories, read_user_items
from trainer.reading.history_hashes import ParsedHistories
from trainer.reading.pipelines import COMMANDS_PER_PIPELINE, CorruptValueError, ask_each
from trainer.reading.quarantine import Quarantine

__all__ = [
    "COMMANDS_PER_PIPELINE",
    "CorruptValueError",
    "ParsedHistories",
    "Quarantine",
    "ask_each",
    "by_time",
    "read_gram",
    "read_histories",
    "read_user_items",
]
