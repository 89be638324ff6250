"""The clock against which records that confluent-kafka read may be too far ahead."""

from collections.abc import Sequence

import numpy as np
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message

from contracts.messages import Ints


def clock_ms(records: Sequence[Message], now_ms: int) -> Ints:
    """Return the time by which each record is judged as ahead, epoch ms, (n,).

    When the broker appended the record, if the broker stamps the topic's records. Otherwise the
    timestamp is the producer's, which may be slow, and our clock counts: `now_ms`. The workers have
    the same rule, `stream_processors.transport.batches`.
    """
    stamps = (record.timestamp() for record in records)
    times = (at_ms if kind == TIMESTAMP_LOG_APPEND_TIME else now_ms for kind, at_ms in stamps)
    return np.fromiter(times, np.int64, len(records))
