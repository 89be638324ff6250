"""The `request_id` of an answer: says which variant, generation and source it came from.

A client sends it back with what became of the answer (`POST /v1/feedback`). Nothing is kept of it
here: the parts stand in it, to be read with `contracts.feedback.parse_request_id`.
"""

import base64
import os
from typing import Final

from contracts.feedback import TOKEN_CHARACTERS

_TOKENS_AT_ONCE: Final = 512
"""Asking the system for randomness costs more than all the rest of an id: it is asked rarely."""
_BYTES_AT_ONCE: Final = _TOKENS_AT_ONCE * TOKEN_CHARACTERS * 3 // 4
"""Base64 makes 4 characters of 3 bytes, and no padding of a multiple of 3."""

_unused: list[str] = []


def new_request_id(variant: str, generation: str, source: str) -> str:
    """Return an id that no other answer has, and that nobody can guess.

    Its last part is 132 random bits of the system's: two of 10^15 ids are the same with a
    probability of 10^-10, so processes need not know of each other.

    Args:
        variant: what the answer was made with, as `contracts.feedback.NAME` allows.
        generation: likewise.
        source: likewise.

    >>> new_request_id("default", "20210815T211000Z-7", "history")[:-22]
    'default.20210815T211000Z-7.history.'
    """
    return f"{variant}.{generation}.{source}.{_token()}"


def _token() -> str:
    try:
        return _unused.pop()
    except IndexError:
        text = base64.urlsafe_b64encode(os.urandom(_BYTES_AT_ONCE)).decode()
        starts = range(0, len(text), TOKEN_CHARACTERS)
        _unused.extend(text[start : start + TOKEN_CHARACTERS] for start in starts)
        return _unused.pop()
