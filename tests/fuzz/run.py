"""Sends cases to a server over raw sockets, on several connections, and checks the answers.

Each case is followed, on its connection, by a request with a known answer: if that is correct, the
framing is intact.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.fuzz.judge import complaints, kind_of
from tests.fuzz.request import KNOWN, Case, Garbage
from tests.fuzz.wire import LIMIT_BYTES, Answer, ClosedError, FramingError, read_answer
from tests.patience import PATIENCE_S

CONNECTIONS: Final = 8
ANSWER_WITHIN_S: Final = 2 * PATIENCE_S
"""Longer than any bound of the server; a longer wait means that it hangs."""
ENOUGH_FINDINGS: Final = 20
_SHOWN: Final = 600
_AFTER: Final = Case("known", (KNOWN,))


@dataclass(frozen=True, slots=True)
class Finding:
    """A violation, and the bytes that caused it."""

    case: Case | Garbage
    number: int
    complaint: str

    def __str__(self) -> str:
        wire = self.case.wire()
        more = f" and {len(wire) - _SHOWN} bytes more" if len(wire) > _SHOWN else ""
        sent = f"{wire[:_SHOWN]!r}{more}"
        return f"case {self.number} ({self.case.kind}): {self.complaint}\n    {sent}"


@dataclass(slots=True)
class Tally:
    """The results of the cases so far."""

    cases: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    """by status and type of problem"""
    findings: list[Finding] = field(default_factory=list)


async def run(
    port: int, cases: Iterable[Case | Garbage], done: Callable[[], object] = lambda: None
) -> Tally:
    """Put cases to the server at a local port, `done` after each; end early on many findings."""
    tally = Tally()
    numbered = enumerate(cases)
    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(_Client(port, tally).put_all(numbered, done))
    return tally


class _Client:
    """One connection at a time, opened again after each that the server closed."""

    def __init__(self, port: int, tally: Tally) -> None:
        self._port = port
        self._tally = tally
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def put_all(
        self, numbered: Iterator[tuple[int, Case | Garbage]], done: Callable[[], object]
    ) -> None:
        for number, case in numbered:
            if len(self._tally.findings) >= ENOUGH_FINDINGS:
                break
            for complaint in await self._complaints(case):
                self._tally.findings.append(Finding(case, number, complaint))
            self._tally.cases += 1
            done()
        self._close()

    async def _complaints(self, case: Case | Garbage) -> list[str]:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                found = await (self._put(case) if isinstance(case, Case) else self._throw(case))
        except TimeoutError:
            found = [f"no answer within {ANSWER_WITHIN_S} s"]
        except (FramingError, ConnectionError) as error:
            found = [f"{type(error).__name__}: {error}"]
        if found:
            self._close()
        return found

    async def _put(self, case: Case) -> list[str]:
        """Send requests, then the known one; return what is wrong with their answers."""
        found = []
        for sent in (case, _AFTER):
            reader = await self._send(sent.wire(), sent.pieces)
            if sent.hangs_up:
                self._close()
                continue
            for request in sent.requests:
                answer = await self._read(reader, head=request.method == b"HEAD")
                found += complaints(request, answer)
                if answer.closes or answer.streams:
                    self._close()
                    return found
        return found

    async def _throw(self, garbage: Garbage) -> list[str]:
        """Send what is no HTTP on a connection of its own; return what is wrong with its answer."""
        self._close()
        reader = await self._send(garbage.wire(), 1)
        for request in garbage.before:
            if found := complaints(request, await self._read(reader, head=False)):
                return found
        assert self._writer is not None
        self._writer.write_eof()
        answers = []
        with contextlib.suppress(ClosedError, ConnectionResetError):
            while True:
                answers.append(await self._read(reader, head=False))
        self._close()
        found = [each for answer in answers for each in complaints(None, answer)]
        if len(answers) > 1:
            found.append(f"{len(answers)} answers, as if it were several requests")
        return found

    async def _read(self, reader: asyncio.StreamReader, *, head: bool) -> Answer:
        answer = await read_answer(reader, head=head)
        self._tally.answers[kind_of(answer)] += 1
        return answer

    async def _send(self, wire: bytes, pieces: int) -> asyncio.StreamReader:
        """Write bytes to the connection, in so many pieces, and return where answers come in."""
        if self._reader is None or self._writer is None:
            opened = await asyncio.open_connection("127.0.0.1", self._port, limit=LIMIT_BYTES)
            self._reader, self._writer = opened
        size = len(wire) // pieces + 1
        for at in range(0, len(wire), size):
            self._writer.write(wire[at : at + size])
            await asyncio.sleep(0)  # the other connections' turn
        return self._reader

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None
