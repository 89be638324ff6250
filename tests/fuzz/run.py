"""Sends cases to a server over raw sockets, on several connections, and checks the answers.

Each case is followed, on its connection, by a request with a known answer: if that is correct, the
framing is intact.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from tests.fuzz.judge import complaints
from tests.fuzz.request import KNOWN, Case
from tests.fuzz.wire import LIMIT_BYTES, Answer, ClosedError, FramingError, read_answer
from tests.patience import PATIENCE_S

CONNECTIONS: Final = 8
ANSWER_WITHIN_S: Final = 2 * PATIENCE_S
"""Longer than any bound of the server; a longer wait means that it hangs."""
ENOUGH_COMPLAINTS: Final = 20
_AFTER: Final = Case("known", (KNOWN,))


async def run(port: int, cases: Iterable[Case]) -> tuple[list[str], Counter[int]]:
    """Put cases to the server at a local port; end early on many complaints.

    Returns complaints, each with the bytes that caused it, and the number of answers by status.
    """
    shared, found, answers = iter(cases), list[str](), Counter[int]()
    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(_Client(port, found, answers).put_all(shared))
    return found, answers


class _Client:
    """One connection at a time, opened again after each that the server closed."""

    def __init__(self, port: int, found: list[str], answers: Counter[int]) -> None:
        self._port = port
        self._found = found
        self._answers = answers
        self._opened: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def put_all(self, cases: Iterator[Case]) -> None:
        for case in cases:
            if len(self._found) >= ENOUGH_COMPLAINTS:
                break
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    found = await (self._throw(case) if case.garbage else self._put(case))
            except (TimeoutError, FramingError, ConnectionError) as error:
                found = [f"{type(error).__name__}: {error}"]
            if found:
                self._close()
            self._found += [f"{case.kind}: {it}\n  {case.wire()[:900]!r}" for it in found]
        self._close()

    async def _put(self, case: Case) -> list[str]:
        """Send requests, then the known one; return what is wrong with their answers."""
        found = []
        for sent in (case, _AFTER):
            reader, _ = await self._send(sent)
            if sent.hangs_up:
                self._close()
                continue
            for request in sent.requests:
                answer = await self._read(reader, head=request.method == b"HEAD")
                found += complaints(request, answer)
                if answer.streams or (b"connection", b"close") in answer.headers:
                    self._close()
                    return found
        return found

    async def _throw(self, case: Case) -> list[str]:
        """Send garbage on a connection of its own; return what is wrong with its answer."""
        self._close()
        reader, writer = await self._send(case)
        for request in case.requests:
            if found := complaints(request, await self._read(reader, head=False)):
                return found
        writer.write_eof()
        answers = []
        with contextlib.suppress(ClosedError, ConnectionResetError):
            while True:
                answers.append(await self._read(reader, head=False))
        self._close()
        found = [each for answer in answers for each in complaints(None, answer)]
        return (
            found + [f"{len(answers)} answers, as if it were several requests"][: len(answers) > 1]
        )

    async def _read(self, reader: asyncio.StreamReader, *, head: bool) -> Answer:
        answer = await read_answer(reader, head=head)
        self._answers[answer.status] += 1
        return answer

    async def _send(self, case: Case) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Write a case's bytes in its number of pieces; return the connection."""
        if self._opened is None:
            opening = asyncio.open_connection("127.0.0.1", self._port, limit=LIMIT_BYTES)
            self._opened = await opening
        wire = case.wire()
        size = len(wire) // case.pieces + 1
        for at in range(0, len(wire), size):
            self._opened[1].write(wire[at : at + size])
            await asyncio.sleep(0)  # the other connections' turn
        return self._opened

    def _close(self) -> None:
        if self._opened is not None:
            self._opened[1].transport.abort()
        self._opened = None
