"""Runs an import: reads the body, checks it part by part, and publishes what is valid."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from starlette.requests import ClientDisconnect, Request

from api.events.bodies import accepted
from api.events.parsing import Message
from api.http.bodies import Writing, media_type_of
from api.http.failures import problem_of
from api.http.parsing import Resolve
from api.http.problems import IDEMPOTENCY_KEY_REUSED, INCOMPLETE_BODY, NOT_READY, Problem
from api.imports.lines import CSV, Lines, broken
from api.imports.parts import PART_BYTES, Cutter, Digest, Gunzip, LineTooLongError
from api.imports.progress import Progress
from api.imports.publishing import Output
from contracts.input_rules import InputRules

PART_TIMEOUT_S: Final = 30.0
"""For each `PART_BYTES` of a body, or the rest of it, to arrive; without the time that the import
itself takes. That is 0.3 Mbit/s."""
GZIP: Final = "gzip"


class Import:
    """One request's import, into `output`."""

    def __init__(
        self,
        request: Request,
        output: Output,
        writing: Writing,
        now_ms: Callable[[], int],
        rules: InputRules,
        resolve: Resolve,
    ) -> None:
        self._request = request
        self._output = output
        self._writing = writing
        self._now_ms = now_ms
        self._before = output.progress
        self._media_type = media_type_of(request)
        self._digest = Digest(self._media_type)
        self._lines = Lines(self._media_type, rules, resolve, self._before.place)
        self.closing = False
        """set when the process is about to end"""

    @property
    def published(self) -> bool:
        """Whether this request published anything."""
        return self._output.progress.events > self._before.events

    async def run(self) -> Progress:
        """Return the progress at the end of the body.

        Raises:
            Problem: it stopped; the problem says up to which line events are published.
        """
        try:
            async for part in self._parts():
                await self._take(part)
            self._lines.check()
            return await self._finish()
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                raise
            raise self._stopped(problem) from error

    async def _take(self, part: bytes) -> None:
        if self.closing:
            raise Problem(NOT_READY, "The server is shutting down")
        # As of other writes, each KiB is one event at least: reading long lines takes time, too.
        await self._writing.pace(self._request, max(part.count(b"\n") + 1, len(part) // 1024))
        messages: list[Message] = []
        for some in self._lines.take(part, self._now_ms()):
            messages += some
            await asyncio.sleep(0)  # other requests run in between
        self._digest.take(part)
        if self._lines.are_valid and messages:
            await self._output.publish(messages, self._after(messages))

    async def _finish(self) -> Progress:
        """Note that this is all of the body, and return the progress."""
        progress = self._after([], is_finished=True)
        if progress != self._output.progress:
            await self._output.publish([], progress)
        return progress

    def _after(self, messages: list[Message], *, is_finished: bool = False) -> Progress:
        before, more = self._output.progress, accepted(messages)
        return Progress(
            self._digest.size,
            self._digest.hex(),
            self._lines.place,
            before.quotes + more.quotes,
            before.interactions + more.interactions,
            is_finished,
        )

    async def _parts(self) -> AsyncIterator[bytes]:
        """Yield the parts of the body that are not published yet."""
        cutter = Cutter(has_quotes=self._media_type == CSV)
        try:
            async for piece in self._pieces():
                for part in cutter.take(self._skipped(piece)):
                    yield part
        except LineTooLongError as error:
            raise broken(self._lines.place.lines + 1, str(error)) from None
        if self._digest.size < self._before.size:
            raise _reused("begins with other lines, or is shorter")
        if rest := cutter.rest():
            yield rest

    def _skipped(self, piece: bytes) -> bytes:
        """Return what follows the published lines in a piece; check that they are the same."""
        left = self._before.size - self._digest.size if not self._is_past else 0
        self._digest.take(piece[:left])
        if not self._is_past and self._digest.size == self._before.size:
            self._is_past = True
            if self._before.size and self._digest.hex() != self._before.digest:
                raise _reused("has other lines")
        if piece[left:] and self._before.is_finished:
            raise _reused("is longer")
        return piece[left:]

    _is_past = False
    """whether what is published has arrived again"""

    async def _pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives, decompressed."""
        if self._request.headers.get("content-encoding") != GZIP:
            async for chunk in self._chunks():
                yield chunk
            return
        gunzip = Gunzip()
        try:
            async for chunk in self._chunks():
                for piece in gunzip.take(chunk):
                    yield piece
                    await asyncio.sleep(0)  # a chunk may stand for a thousand times as much
            gunzip.end()
        except ValueError as error:
            raise broken(self._lines.place.lines + 1, str(error)) from None

    async def _chunks(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        stream = self._request.stream()
        left_s, arrived = PART_TIMEOUT_S, 0
        try:
            while True:
                began_s = loop.time()
                async with asyncio.timeout(left_s):
                    chunk = await anext(stream, None)
                if chunk is None:
                    return
                left_s -= loop.time() - began_s
                arrived += len(chunk)
                if arrived >= PART_BYTES:
                    left_s, arrived = PART_TIMEOUT_S, 0
                yield chunk
        except TimeoutError:
            detail = f"{PART_TIMEOUT_S:g} s are allowed for each {PART_BYTES} bytes: send faster"
            raise Problem(INCOMPLETE_BODY, detail) from None
        except ClientDisconnect:  # nobody reads the answer, but it is counted
            raise Problem(
                INCOMPLETE_BODY, "The client disconnected before the body's end"
            ) from None

    def _stopped(self, problem: Problem) -> Problem:
        """Return a problem that also says what of the import is in the log."""
        progress = self._output.progress
        if problem.kind is IDEMPOTENCY_KEY_REUSED:  # the progress is that of another file
            return problem
        line = progress.place.lines
        members = {"acknowledged": progress.events, "line": line, **problem.members}
        kept = (
            f"The {progress.events} events up to line {line} are in the log, and stay there"
            if progress.events
            else "None was taken"
        )
        found = Problem(problem.kind, f"{problem.detail}. {kept}", **members)
        found.rate = problem.rate
        return found


def _reused(how: str) -> Problem:
    detail = f"The key was used for another file: this one {how}. Send each file with its own key"
    return Problem(IDEMPOTENCY_KEY_REUSED, detail)
