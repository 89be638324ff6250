"""A Faust transport that delivers the records of one fetch from one partition as one event.

Faust's cost is per event: futures, a queue put, an ack. Here an event is a batch of thousands of
records, so that cost is negligible; Faust still owns groups, rebalances and agents. Registered
under the URL scheme `batches` in the entry-point group `faust.transports`.
"""

from stream_processors.transport.consumer import Transport as Transport
