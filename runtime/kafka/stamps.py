"""The time by which a record is judged as ahead, of records that confluent-kafka read."""

from collections.abc import Sequence

import numpy as np
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message

from contracts.messages import Ints


def clock_ms(records: Sequence[Message], now_ms: int) -> Ints:
    """Return the time by which each record is judged as ahead, epoch ms, (n,).

    When the broker took the record, if the topic is one whose broker stamps the records. Else the
    producer's clock stands there, which may be slow, and ours counts: `now_ms`. The workers have
    the same rule, `stream_processors.transport.batches`.
    """
    stamps = (record.timestamp() for record in records)
    times = (at_ms if kind == TIMESTAMP_LOG_APPEND_TIME else now_ms for kind, at_ms in stamps)
    return np.fromiter(times, np.int64, len(records))
