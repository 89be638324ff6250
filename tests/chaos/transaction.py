"""A transactional producer that publishes some messages and aborts or commits."""

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import KafkaException, Producer

from contracts.partitioning import LIBRDKAFKA_PARTITIONER
from tests.chaos.messages import Publication

# A broker aborts a transaction without news for so long.
_TIMEOUT_S: Final = 20
_CALL_S: Final = 10


class Transaction(threading.Thread):
    """Runs alongside the faults, as any call may have to wait for an unreachable broker."""

    def __init__(
        self,
        bootstrap_servers: str,
        name: str,
        what: list[Publication],
        open_s: float,
        *,
        abort: bool,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "partitioner": LIBRDKAFKA_PARTITIONER,
                "transactional.id": name,
                "transaction.timeout.ms": _TIMEOUT_S * 1000,
                "log_level": 0,
            }
        )
        self._what = what
        self._open_s = open_s
        self._abort = abort
        self.outcome = "not begun"

    def run(self) -> None:
        producer = self._producer
        try:
            self._patiently(producer.init_transactions, _CALL_S)
            producer.begin_transaction()
            for one in self._what:
                producer.produce(one.topic, one.value, one.key)
            producer.flush(_CALL_S)
            time.sleep(self._open_s)
            end = producer.abort_transaction if self._abort else producer.commit_transaction
            self._patiently(end, _CALL_S)
            self.outcome = "aborted" if self._abort else "committed"
        except KafkaException as error:
            self.outcome = f"left to its coordinator: {error.args[0].str()}"
            time.sleep(_TIMEOUT_S)

    def _patiently(self, call: Callable[..., Any], *arguments: float) -> None:
        """Call, with retries while the broker is unreachable.

        Raises:
            KafkaException: the transaction cannot be ended by this producer any longer.
        """
        while True:
            try:
                call(*arguments)
            except KafkaException as error:
                if error.args[0].txn_requires_abort() and not self._abort:
                    self._abort = True
                    call = self._producer.abort_transaction
                elif not error.args[0].retriable():
                    raise
            else:
                return
