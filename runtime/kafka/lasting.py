"""A long-lived admin client with bounded response times.

librdkafka can stop answering for good: a metadata answer without brokers, as a starved broker may
give, takes every broker from the client (librdkafka's issue 5301). So a client that has failed a
few times in a row is replaced by a new one.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, wait
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException

from runtime.kafka.broker import Admin
from runtime.kafka.config import KafkaConfig

FAILURES: Final = 3
"""Consecutive failures after which a client is replaced."""

Answer = TypeVar("Answer")
Ask = Callable[[Admin], Iterable[Future[Answer]]]


class LastingAdmin:
    """Connects and reconnects automatically."""

    def __init__(self, kafka: KafkaConfig, **options: Any) -> None:
        """Take what `Admin` does."""
        self._make: Callable[[], Admin] = lambda: Admin(kafka, **options)
        self._client: Admin | None = None
        self._making = threading.Lock()
        self._failures = 0
        self._is_closed = False

    @property
    def client(self) -> Admin:
        """The current client; created on first use, which may block for a token."""
        with self._making:
            if self._is_closed:  # else one that is made while this is closed would be left behind
                raise KafkaException(KafkaError(KafkaError._DESTROY))  # noqa: SLF001 (its public name)
            if self._client is None:  # an idle one is false
                self._client = self._make()
            return self._client

    def failed(self) -> None:
        """Count a failure of the client; replace it after a few in a row."""
        self._failures += 1
        if self._failures >= FAILURES:
            self._leave()

    def close(self) -> threading.Thread:
        """Abandon the client; return the thread in which it shuts down, maybe slowly."""
        with self._making:
            self._is_closed = True
        return self._leave()

    def _leave(self) -> threading.Thread:
        self._failures = 0
        leaving, self._client = [self._client], None
        ending = threading.Thread(target=leaving.clear, daemon=True)
        ending.start()
        return ending

    async def ask(self, ask: Ask[Answer], within_s: float) -> list[Answer | KafkaException]:
        """Return the answers to some requests, or raise as `ask_now` does."""
        client = self._client
        if client is None:
            client = await asyncio.to_thread(lambda: self.client)
        asked = list(ask(client))
        del client  # which has to end when it is left, though this waits
        waiting = [asyncio.wrap_future(future) for future in asked]
        for future in waiting:
            future.add_done_callback(asyncio.Future.exception)  # so that none goes unread
        # Cancels no future, as librdkafka's thread cannot settle those.
        await asyncio.wait(waiting, timeout=within_s)
        return self._answers(asked, within_s)

    def ask_now(self, ask: Ask[Answer], within_s: float) -> list[Answer | KafkaException]:
        """Return the answers to some requests; blocks until then.

        Args:
            ask: sends one or more requests, and returns their futures.
            within_s: when they must have come. The client itself is given less time, as a rule, so
                that it says why there is none.

        Raises:
            KafkaException: some did not come in time.
        """
        asked = list(ask(self.client))
        wait(asked, within_s)
        return self._answers(asked, within_s)

    def _answers(self, asked: Sequence[Future[Any]], within_s: float) -> list[Any]:
        if not all(future.done() for future in asked):
            self.failed()
            why = f"librdkafka has not answered in {within_s:g} s"
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, why))  # noqa: SLF001 (its public name)
        answers = [_settled(future) for future in asked]
        if any(isinstance(answer, KafkaException) and _is_silence(answer) for answer in answers):
            self.failed()
        else:
            self._failures = 0
        return answers


def _settled(future: Future[Any]) -> Any:
    error = future.exception()
    # Not raised first: its traceback would keep the client alive, which must end when abandoned.
    return error if isinstance(error, KafkaException) else future.result()


def _is_silence(error: KafkaException) -> bool:
    """Whether no broker has said it: librdkafka's own errors have negative codes."""
    return bool(error.args[0].code() < 0)
