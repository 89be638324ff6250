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
from tests.fuzz.wire import Answer, ClosedError, Connection, FramingError
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
    """Puts cases on one connection at a time."""

    def __init__(self, port: int, found: list[str], answers: Counter[int]) -> None:
        self._connection = Connection(port)
        self._found = found
        self._answers = answers

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
                self._connection.close()
            self._found += [f"{case.kind}: {it}\n  {case.wire()[:900]!r}" for it in found]
        self._connection.close()

    async def _put(self, case: Case) -> list[str]:
        """Send requests, then the known one; return what is wrong with their answers."""
        found = []
        for sent in (case, _AFTER):
            await self._connection.send(sent.wire(), sent.pieces)
            if sent.hangs_up:
                self._connection.close()
                continue
            for request in sent.requests:
                answer = await self._answer(head=request.method == b"HEAD")
                found += complaints(request, answer)
                if answer.is_last:
                    self._connection.close()
                    return found
        return found

    async def _throw(self, case: Case) -> list[str]:
        """Send garbage on a connection of its own; return what is wrong with its answer."""
        self._connection.close()
        await self._connection.send(case.wire(), case.pieces)
        for request in case.requests:
            if found := complaints(request, await self._answer()):
                return found
        self._connection.end()
        answers = []
        with contextlib.suppress(ClosedError, ConnectionResetError):
            while True:
                answers.append(await self._answer())
        self._connection.close()
        found = [each for answer in answers for each in complaints(None, answer)]
        return (
            found + [f"{len(answers)} answers, as if it were several requests"][: len(answers) > 1]
        )

    async def _answer(self, *, head: bool = False) -> Answer:
        answer = await self._connection.answer(head=head)
        self._answers[answer.status] += 1
        return answer
