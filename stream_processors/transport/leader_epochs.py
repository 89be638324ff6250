"""Asks a partition's leader where the log of an earlier leader ends in its own.

Each leader of a partition has an epoch, which is in the batches that it appends. If an epoch now
ends before a record that was read from it, Kafka has lost that record: a replica without it is the
leader. Kafka's own replicas truncate their logs by this request (KIP-101), and its consumers
validate their positions by it (KIP-320). aiokafka does not implement it.
"""

from typing import Any, Final, TypeAlias

from aiokafka.errors import IncompatibleBrokerVersion, LeaderNotAvailableError, NoError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int16, Int32, Int64, Schema, String
from faust.types import TP

_API_KEY: Final = 23
_API_VERSION: Final = 2
"""The version that all brokers from 2.1 to 4 support."""
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
    """Return where an epoch ends in the log of its partition's current leader.

    None if the leader does not know or support it, or no longer has records of the epoch or earlier
    ones.

    Args:
        client: aiokafka's, in whose event loop this runs.
        tp: the partition.
        epoch: of a leader.

    Raises:
        aiokafka.errors.KafkaError: it has no leader, or the leader does not answer.
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
