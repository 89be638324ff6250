"""One answer in progress: a generator that yields commands until it can return."""

from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, Generic, TypeVar

from api.redis.address import Node
from api.redis.connection import ErrorAnswer, packed
from api.redis.nodes import Nodes
from runtime.redis.refusals import is_no_right

T = TypeVar("T")

Command = tuple[str | bytes | int, ...]
"""A command, its key, and its arguments; an answer is bytes, an
int, None, or a list of these."""
Read = Generator[Sequence[Command], Sequence[Any], T]
"""Yields rounds of commands, is sent their answers, and returns the result.

If Redis rejects a command, its `ErrorAnswer` is raised there once the whole round is answered. It
knows neither connections nor the loop, so the ordinary routes and the hot path run the same code.
"""
Done = Callable[[T | None, Exception | None], None]
"""Receives what a read returned or raised; must not raise."""


class Handoff(Exception):  # noqa: N818 (it is not an error)
    """Raised by a read that needs more than Redis: it continues elsewhere.

    `start` takes the read's callback, and calls it once, in bounded time.
    """

    def __init__(self, start: Callable[[Done[Any]], None]) -> None:
        super().__init__()
        self.start = start


def then(read: Read[T], change: Callable[[T], T]) -> Read[T]:
    """Apply `change` to a read's result, also if the read continues elsewhere (`Handoff`)."""
    try:
        return change((yield from read))
    except Handoff as elsewhere:
        start = elsewhere.start

    def start_there(done: Done[T]) -> None:
        def changed(result: T | None, error: Exception | None) -> None:
            done(None if result is None else change(result), error)

        start(changed)

    raise Handoff(start_there)


_MANY: Final = 16
"""A round of more commands waits for its turn (`api.redis.nodes`)."""
_REDIRECTIONS: Final = 3
"""Average per command of a round. While a slot moves, every command on one of its keys is
redirected once; more redirections mean that the cluster is changing."""


class Reading(Generic[T]):
    """Runs one read; `over` is set once `done` was called, which happens once."""

    __slots__ = ("_answers", "_commands", "_done", "_has_turn", "_missing", "_nodes", "_read",
                 "_redirections", "_refused", "_translated", "over", "started_at")  # fmt: skip

    def __init__(
        self,
        read: Read[T],
        nodes: Nodes,
        done: Done[T],
        translated: Callable[[Exception], Exception],
        started_at: float,
    ) -> None:
        """Prepare a read; `done` receives errors as `translated` returns them."""
        self._read = read
        self._nodes = nodes
        self._done = done
        self._translated = translated
        self._refused: ErrorAnswer | None = None
        self._has_turn = False
        self.over = False
        self.started_at = started_at

    def start(self) -> None:
        """Run the read up to its first commands."""
        self._go_on(None)

    def fail(self, error: Exception) -> None:
        """End with `error`, unless it has ended."""
        if not self.over:
            self.over = True
            if self._has_turn:
                self._leave()
            self._read.close()
            self._done(None, self._translated(error))

    def take(self, place: int, answer: object) -> None:
        """Receive an answer, and continue if it was the last one of its round."""
        if self.over:
            return
        if type(answer) is ErrorAnswer and self._is_sent_on(place, answer):
            return
        self._answers[place] = answer
        self._missing -= 1
        if not self._missing:
            if self._has_turn:
                self._leave()
            self._go_on(self._answers)

    def _go_on(self, answers: list[Any] | None) -> None:
        read, refused = self._read, self._refused
        self._refused = None
        try:
            commands = read.throw(refused) if refused else read.send(answers)  # type: ignore[arg-type]
        except StopIteration as returned:
            self.over = True
            self._done(returned.value, None)
            return
        except Handoff as elsewhere:
            self.over = True
            elsewhere.start(self._done)
            return
        except Exception as error:  # noqa: BLE001 (it is passed to the callback)
            self.over = True
            self._done(None, self._translated(error))
            return
        self._commands: Sequence[Command] = commands
        self._missing = missing = len(commands)
        self._answers: list[Any] = [None] * missing
        self._redirections = 0
        if missing < _MANY:
            self._send()
        else:
            self._nodes.turns.enter(self, missing)

    def take_turn(self) -> None:
        """Send the commands of a round of many."""
        self._has_turn = True
        self._send()

    def _leave(self) -> None:
        self._has_turn = False
        self._nodes.turns.leave(len(self._commands))

    def _send(self) -> None:
        try:
            for place, command in enumerate(self._commands):
                connection = self._nodes.connection_of(command[1])  # type: ignore[arg-type]
                # Commands common to all requests, such as reading the pointer, are sent once an
                # iteration.
                send = connection.send_shared if command[0] == "GET" else connection.send
                send(packed(command), self, place)
        except ConnectionError as error:
            self.fail(error)

    def _is_sent_on(self, place: int, answer: ErrorAnswer) -> bool:
        """Redirect a command to the node that has its key; if there is none, store the error."""
        kind = answer.kind
        most = _REDIRECTIONS * len(self._commands)
        if is_no_right(answer):
            answer = self._nodes.without_right(answer, self._commands[place])
        if kind not in ("MOVED", "ASK") or self._redirections == most:
            self._refused = answer
            return False
        self._redirections += 1
        _, _, node = str(answer).rpartition(" ")
        host, _, port = node.rpartition(":")
        try:
            connection = self._nodes.connection_to(Node(host, int(port)))
            if kind == "ASK":
                connection.send(_ASKING, _NOBODY, 0)
            connection.send(packed(self._commands[place]), self, place)
        except ConnectionError as error:
            self.fail(error)
        finally:
            if kind == "MOVED":
                self._nodes.moved()
        return True


class _Nobody:
    """A receiver that ignores answers."""

    def take(self, place: int, answer: object) -> None:
        """Ignore it."""

    def fail(self, error: Exception) -> None:
        """Ignore it."""


_NOBODY: Final = _Nobody()
_ASKING: Final = packed(("ASKING",))
