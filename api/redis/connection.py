"""One connection to a node of Redis: commands are sent as they come, answered in order."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

import hiredis

from runtime.redis.stores import REFUSING

MAX_WAITING: Final = 20_000
"""Unanswered commands; one more is rejected. Redis answers as many in some 100 ms."""
_REFUSALS: Final = frozenset({*REFUSING, "ASK", "MOVED", "NOAUTH", "NOPERM"})


class NotConnectedError(ConnectionError):
    """There is no connection to a command's node."""


class TooManyCommandsError(ConnectionError):
    """The node has as many unanswered commands as are allowed."""


class ErrorAnswer(Exception):  # noqa: N818 (an answer of Redis's, not always a failure)
    """An error reply of Redis, such as `MOVED 3999 127.0.0.1:6381`."""

    @property
    def kind(self) -> str:
        """Its first word."""
        return str(self).partition(" ")[0]

    @property
    def is_refusal(self) -> bool:
        """Whether a retry may succeed. Other errors mean that a value has the wrong type."""
        return self.kind in _REFUSALS


# Typed as if for one word.
packed: Final[Callable[[tuple[str | bytes | int, ...]], bytes]] = hiredis.pack_command  # type: ignore[assignment]
"""Returns a command in wire format."""


class Taker(Protocol):
    """A receiver of answers."""

    def take(self, place: int, answer: object) -> None:
        """Receive the answer to the command sent with `place`; must not raise."""

    def fail(self, error: Exception) -> None:
        """Be notified that an answer will never come."""


class Connection(asyncio.Protocol):
    """Sends commands and delivers their answers."""

    def __init__(self, on_lost: Callable[["Connection"], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_lost = on_lost
        self._answers = hiredis.Reader(replyError=ErrorAnswer, notEnoughData=_NO_MORE)
        self._waiting: deque[tuple[Taker, int]] = deque()
        self._unsent: list[bytes] = []
        self._shared: dict[bytes, _Sharing] = {}
        """Commands not sent yet whose answer can be shared."""
        self._transport: asyncio.Transport | None = None
        self.heard_at = 0.0
        """When data last arrived, or a command was sent on an idle connection; the loop's clock."""
        self._why: Exception | None = None

    @property
    def waiting(self) -> int:
        """The number of unanswered commands."""
        return len(self._waiting)

    def send(self, command: bytes, taker: Taker, place: int) -> None:
        """Send a packed command, together with all others of this loop iteration.

        Raises:
            NotConnectedError: the connection is closed.
            TooManyCommandsError: `MAX_WAITING` commands are unanswered already.
        """
        if self._transport is None:
            raise NotConnectedError("the connection is closed")
        if not self._waiting:
            self.heard_at = self._loop.time()
        elif len(self._waiting) >= MAX_WAITING:
            raise TooManyCommandsError(f"{MAX_WAITING} commands wait for their answers")
        self._waiting.append((taker, place))
        if not self._unsent:
            self._loop.call_soon(self._write)
        self._unsent.append(command)

    def send_shared(self, command: bytes, taker: Taker, place: int) -> None:
        """Send a command, or share the answer if the same one is about to be sent anyway.

        Raises:
            NotConnectedError, TooManyCommandsError: as `send`.
        """
        sharing = self._shared.get(command)
        if sharing is None:
            sharing = _Sharing()
            self.send(command, sharing, 0)
            self._shared[command] = sharing
        sharing.takers.append((taker, place))

    async def ask(self, *command: str | int) -> Any:
        """Send a command and return its answer.

        Raises:
            ErrorAnswer: Redis rejects it.
            NotConnectedError, TooManyCommandsError: as `send`, or the connection was lost.
        """
        asked = _Asked(self._loop)
        self.send(packed(command), asked, 0)
        answer = await asked.answer
        if isinstance(answer, ErrorAnswer):
            raise answer
        return answer

    def close(self, why: Exception | None = None) -> None:
        """Close; receivers are notified that their answers will not come, and why."""
        self._why = self._why or why
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Deliver the complete answers."""
        self.heard_at = self._loop.time()
        answers, waiting = self._answers, self._waiting
        answers.feed(data)
        try:
            while (answer := answers.gets()) is not _NO_MORE:
                taker, place = waiting.popleft()
                taker.take(place, answer)
        except (hiredis.HiredisError, IndexError):  # not Redis, or out of sync
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify all receivers."""
        self._transport = None
        self._unsent.clear()
        self._shared.clear()
        waiting, self._waiting = self._waiting, deque()
        lost = NotConnectedError(f"the connection was lost: {exc or 'Redis closed it'}")
        error = self._why or lost
        self._on_lost(self)
        for taker, _ in waiting:
            taker.fail(error)

    def _write(self) -> None:
        if self._transport is not None:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()
        self._shared.clear()


class _Sharing:
    """Several receivers of the same answer."""

    __slots__ = ("takers",)

    def __init__(self) -> None:
        self.takers: list[tuple[Taker, int]] = []

    def take(self, _place: int, answer: object) -> None:
        for taker, place in self.takers:
            taker.take(place, answer)

    def fail(self, error: Exception) -> None:
        for taker, _ in self.takers:
            taker.fail(error)


class _Asked:
    """Waits for one answer."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answer: asyncio.Future[Any] = loop.create_future()

    def take(self, _place: int, answer: object) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


_NO_MORE: Final = object()
