"""Asks the leader of a partition where the log of an earlier leader ends in its own.

Each leader of a partition has an epoch, which stands in the batches that it takes. If the log of an
epoch ends, in the log as it is now, before a record that was read from it, Kafka has lost that
record: a replica without it leads now. Kafka's own replicas cut their logs by this request
(KIP-101), and its consumers check their positions by it (KIP-320). aiokafka does not have it.
"""

from typing import Any, Final, TypeAlias

from aiokafka.errors import (
    IncompatibleBrokerVersion,
    LeaderNotAvailableError,
    NoError,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int16, Int32, Int64, Schema, String
from faust.types import TP

_API_KEY: Final = 23
_API_VERSION: Final = 2
"""The one that all brokers from 2.1 to 4 know."""
_ANY: Final = -1
"""as the current leader epoch: do not compare it"""


class _Response(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = _API_KEY
    API_VERSION = _API_VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            Array(
                ("topic", String("utf-8")),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader_epoch", Int32),
                        ("end_offset", Int64),
                    ),
                ),
            ),
        ),
    )


class _RequestStruct(RequestStruct):  # type: ignore[misc]  # as above
    API_KEY = _API_KEY
    API_VERSION = _API_VERSION
    RESPONSE_TYPE = _Response
    SCHEMA = Schema(
        (
            "topics",
            Array(
                ("topic", String("utf-8")),
                (
                    "partitions",
                    Array(
                        ("partition", Int32),
                        ("current_leader_epoch", Int32),
                        ("leader_epoch", Int32),
                    ),
                ),
            ),
        ),
    )


_Structs: TypeAlias = _RequestStruct


class _OffsetForLeaderEpoch(Request[_Structs]):  # type: ignore[misc]  # as above
    API_KEY = _API_KEY

    def __init__(self, tp: TP, epoch: int) -> None:
        self._topics = [(tp.topic, [(tp.partition, _ANY, epoch)])]

    def build(self, request_struct_class: type[_Structs]) -> _Structs:
        return request_struct_class(self._topics)


async def epoch_end(client: Any, tp: TP, epoch: int) -> int | None:
    """Return where the log of an epoch ends, as its partition's leader has it now.

    None if the leader does not know, or will not say: it is of another kind or version, or has no
    records of the epoch, nor of earlier ones, any longer.

    Args:
        client: aiokafka's, in whose loop this runs.
        tp: the partition.
        epoch: of a leader.

    Raises:
        aiokafka.errors.KafkaError: nobody leads it, or the leader does not answer.
    """
    leader = client.cluster.leader_for_partition(tp)
    if leader is None or leader < 0:
        client.force_metadata_update()
        raise LeaderNotAvailableError
    try:
        response = await client.send(leader, _OffsetForLeaderEpoch(tp, epoch))
    except IncompatibleBrokerVersion:
        return None
    ((_, ((error_code, _, _, end),)),) = response.topics
    error = for_code(error_code)
    if error is NoError:
        return end if end >= 0 else None
    if not error.retriable:
        return None
    client.force_metadata_update()
    raise error
