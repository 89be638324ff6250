"""Cuts a body into parts of whole lines, as it arrives. Pure.

A part is what is checked and published at once: it has up to `PART_BYTES`, so memory stays the same
however long a body is.
"""

import hashlib
import zlib
from collections.abc import Iterator
from typing import Final

import numpy as np

PART_BYTES: Final = 1024 * 1024
_PIECE_BYTES: Final = 256 * 1024
"""Of a compressed body: a KiB of it may be a MiB."""
_GZIP: Final = 16 + zlib.MAX_WBITS


class LineTooLongError(ValueError):
    """A line, or a record of CSV, does not fit into a part."""


class Cutter:
    r"""Cuts a body.

    >>> cutter = Cutter(most=8)
    >>> [*cutter.take(b"ab\ncd\nef"), *cutter.take(b"gh\n"), cutter.rest()]
    [b'ab\ncd\n', b'efgh\n']
    """

    def __init__(self, *, has_quotes: bool = False, most: int = PART_BYTES) -> None:
        """Cut into parts of at most `most` bytes.

        Args:
            has_quotes: whether line breaks between quotes end no line, as in CSV.
            most: bytes of a part.
        """
        self._has_quotes = has_quotes
        self._most = most
        self._bytes = bytearray()

    def take(self, piece: bytes) -> Iterator[bytes]:
        """Yield the parts that are complete with another piece of the body.

        Raises:
            LineTooLongError: a line is too long.
        """
        self._bytes += piece
        while len(self._bytes) >= self._most:
            end = self._end_of_lines()
            part = bytes(self._bytes[:end])
            del self._bytes[:end]
            yield part

    def rest(self) -> bytes:
        """Return the last part, which may be empty."""
        return bytes(self._bytes)

    def _end_of_lines(self) -> int:
        """Return where the last line ends that fits into a part."""
        held = self._bytes
        end = held.rfind(b"\n", 0, self._most)
        if self._has_quotes and end >= 0 and held.count(b'"', 0, end) % 2:  # within a cell
            end = _end_of_records(bytes(held[:end]))
        if end < 0:
            raise LineTooLongError(
                f"it has over {self._most} bytes, or a quote in it does not end: break it"
            )
        return end + 1


def _end_of_records(text: bytes) -> int:
    """Return the last line break that is not between quotes, -1 if there is none.

    In C, since a cell may have a million line breaks, and other requests wait.
    """
    of_file = np.frombuffer(text, np.uint8)
    within = np.logical_xor.accumulate(of_file == ord('"'))
    (ends,) = np.nonzero((of_file == ord("\n")) & ~within)
    return int(ends[-1]) if len(ends) else -1


class Gunzip:
    """Decompresses a body of one or more gzip members, in bounded pieces."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_GZIP)
        self._is_empty = True

    def take(self, data: bytes) -> Iterator[bytes]:
        """Yield what more compressed data stands for.

        Raises:
            ValueError: it is not gzip.
        """
        while data:
            self._is_empty = False
            if self._inflate.eof:
                self._inflate = zlib.decompressobj(_GZIP)
            try:
                yield self._inflate.decompress(data, _PIECE_BYTES)
            except zlib.error as error:
                raise ValueError(f"the body is not gzip: {error}") from None
            data = self._inflate.unconsumed_tail or self._inflate.unused_data

    def end(self) -> None:
        """Raise ValueError unless the body is complete."""
        if not (self._inflate.eof or self._is_empty):
            raise ValueError("the gzip body ends too early: send all of it")


class Digest:
    """The digest of a body up to the end of a part, and its length."""

    def __init__(self, media_type: str) -> None:
        self._hash = hashlib.blake2b(media_type.encode() + b"\0", digest_size=16)
        self.size = 0

    def take(self, content: bytes) -> None:
        """Continue with more of the body."""
        self._hash.update(content)
        self.size += len(content)

    def hex(self) -> str:
        """Return the digest."""
        return self._hash.hexdigest()
