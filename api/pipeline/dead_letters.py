"""The newest dead letters of each topic, cached by this process for all callers.

They are read on request if the logs have grown, so as long as nothing is rejected there is nothing
to do. Letters that Kafka has dropped are dropped here as well.
"""

import asyncio
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from confluent_kafka import KafkaException

from api.pipeline.answers import DeadLetter, LetterReason
from api.pipeline.tail import Piece, read_on
from contracts.topics import STREAMED, dead_letters
from runtime.kafka.config import KafkaConfig
from runtime.kafka.refusals import describe_error
from runtime.kafka.tokens import TokenError

KEPT_S: Final = 1.0
NEWEST: Final = 500
"""Dead letters held per topic: at most 1.5 MB, if each has the maximum size shown."""
REASONS: Final = 10
"""Reported per topic, the most frequent ones."""

_CONTENT: Final = re.compile(
    # Text quoted by msgspec or by Python, and numbers, except those of a rule, as in `>= 1e-18`,
    # and in names.
    r"""(?<=enum value )'.*'|b?'(?:[^'\\]|\\.)*'|b?"(?:[^"\\]|\\.)*"|0x[0-9a-f]+"""
    r"""|(?<![<>=]\s)(?<![-+\w.$\[])\d+(?:\.\d+)?"""
)
_LOGS: Final = {topic.name: dead_letters(topic).name for topic in STREAMED}


class _Newest:
    """The newest letters of one log."""

    def __init__(self) -> None:
        self.letters: deque[tuple[int, DeadLetter]] = deque(maxlen=NEWEST)
        """with their offsets in the log"""
        self._next = 0
        self._end = 0
        self._is_complete = True

    def start(self, there: range) -> int | None:
        """Return the offset to continue at; None if everything that is `there` is known."""
        if there.stop < self._end:  # the log was recreated
            self.letters.clear()
            self._next = 0
        while self.letters and self.letters[0][0] < there.start:
            self.letters.popleft()
        if there.stop == self._end and self._is_complete:
            return None
        self._end = there.stop
        self._is_complete = False
        return max(self._next, there.start, there.stop - NEWEST)

    def take(self, piece: Piece) -> None:
        """Add what was read from there on."""
        self.letters.extend(piece.letters)
        self._next = piece.next
        self._is_complete = piece.is_to_the_end


class NewestDeadLetters:
    """Knows the newest dead letters of all topics."""

    def __init__(self, kafka: KafkaConfig, now_s: Callable[[], float]) -> None:
        self._kafka = kafka
        self._now_s = now_s
        self._of = {topic: _Newest() for topic in _LOGS}
        self._reading: asyncio.Task[str | None] | None = None
        self._read_at = 0.0

    async def refresh(self, there: Mapping[str, range]) -> str | None:
        """Read new letters, once a second at most; return why that failed, None if it did not.

        Args:
            there: topic -> the offsets of its dead letters, according to Kafka.
        """
        reading = self._reading
        if reading is None or (reading.done() and self._now_s() - self._read_at > KEPT_S):
            self._read_at = self._now_s()
            reading = self._reading = asyncio.create_task(self._read(there))
        return await asyncio.shield(reading)

    def newest(self, topic: str | None, n: int) -> list[DeadLetter]:
        """Return the newest letters of a topic, or of all topics, newest first."""
        letters = [
            letter
            for name, of in self._of.items()
            if topic in (name, None)
            for _, letter in reversed(of.letters)
        ]
        return sorted(letters, key=lambda letter: -letter.rejected_at_ms)[:n]

    def reasons(self, topic: str) -> list[LetterReason]:
        """Return why the newest letters of a topic were rejected, most frequent first."""
        return reasons_of(letter for _, letter in self._of[topic].letters)

    async def _read(self, there: Mapping[str, range]) -> str | None:
        starts = {topic: self._of[topic].start(offsets) for topic, offsets in there.items()}
        wanted = {_LOGS[topic]: start for topic, start in starts.items() if start is not None}
        if not wanted:
            return None
        try:
            pieces = await asyncio.to_thread(read_on, self._kafka, wanted)
        except TokenError as error:
            return str(error)
        except KafkaException as error:
            return f"{self._kafka.bootstrap_servers}: {describe_error(error.args[0])}"
        for topic in starts:
            if (piece := pieces.get(_LOGS[topic])) is not None:
                self._of[topic].take(piece)
        return None


def reasons_of(letters: Iterable[DeadLetter]) -> list[LetterReason]:
    """Return the reasons of letters without their content, most frequent first."""
    counts: Counter[str] = Counter()
    last_at_ms: dict[str, int] = {}
    for letter in letters:
        reason = kind_of(letter.reason)
        counts[reason] += 1
        last_at_ms[reason] = max(last_at_ms.get(reason, 0), letter.rejected_at_ms)
    return [LetterReason(of, count, last_at_ms[of]) for of, count in counts.most_common(REASONS)]


def kind_of(reason: str) -> str:
    """Return a reason without the content of the record, which may be personal data.

    >>> kind_of("ts 1629061628123 is 7.5 minutes ahead of the clock, at most 5 are allowed")
    'ts … is … minutes ahead of the clock, at most … are allowed'
    >>> kind_of("user_id 'ABC' does not belong to partition 3: produce with the key in ASCII")
    'user_id … does not belong to partition …: produce with the key in ASCII'
    >>> kind_of("Invalid enum value 'ABC's' - at `$.event`")
    'Invalid enum value … - at `$.event`'
    >>> kind_of("Expected `float` >= 1e-18 - at `$.price`")
    'Expected `float` >= 1e-18 - at `$.price`'
    >>> kind_of("not UTF-8: 'utf-8' codec can't decode byte 0xff in position 0")
    "not UTF-8: … codec can't decode byte … in position …"
    """
    return _CONTENT.sub("…", reason)
