"""A Faust transport that delivers what one fetch returned for one partition as one event.

Faust's cost is per event: futures, a queue put, an ack. Here an event is a batch of thousands of
records, so that cost vanishes; groups, rebalances and agents stay Faust's. Registered under the URL
scheme `batches` in the entry-point group `faust.transports`.
"""

from stream_processors.transport.batches import BatchSchema, LogBounds, RecordBatch
from stream_processors.transport.consumer import BatchApp, Transport

__all__ = ["BatchApp", "BatchSchema", "LogBounds", "RecordBatch", "Transport"]
