"""Reads what the workers keep in Redis: counts and histories, as arrays, while it is written.

This is all that the rest of the trainer imports of it. Below: hashes come in blocks, as bytes over
connections of its own (`hashes`), whose fields are spans of these bytes (`replies`), parsed many at
once (`numerals`, `history_hashes`). A few corrupt values are left out and named (`pipelines`), many
are an error.
"""

from trainer.reading.gram import read_gram
from trainer.reading.histories import by_time, read_histories, read_user_items
from trainer.reading.history_hashes import ParsedHistories
from trainer.reading.pipelines import COMMANDS_PER_PIPELINE, CorruptValueError, Quarantine, ask_each

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
