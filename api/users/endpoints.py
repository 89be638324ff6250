"""The endpoints of users."""

from typing import Final

from api.http.endpoint import ActionEndpoint, ReadEndpoint, Success, Table
from api.http.openapi_schemas import KEPT
from api.http.parameters import DEFAULT_ITEMS, USER_ID, whole_number
from api.http.problems import (
    INVALID_REQUEST,
    LOG_UNAVAILABLE,
    LONG_USER_ID,
    OVERLOADED,
    READING,
    UNKNOWN_USER,
    WRITING,
    ProblemType,
)
from api.users.answers import Erasing, Export, Held, History, KnownItem, OwnItem, OwnList, Sample
from api.users.reading import UserReader
from api.users.writing import Erasure

MAX_DRAWN: Final = 100

_HISTORY: Final = History(
    user_id="ABC", items=[Held(instrument_id=4, affinity=1, last_event_ts=1629061628123)]
)
_EXPORT: Final = Export(
    user_id="ABC",
    last_event_ts=1629061628123,
    variant="default",
    generation="20210815T211000Z-7",
    history=[KnownItem(4, 1, 1629061600000, 1629061628123, user_scale=1, value=0, valued=0)],
    lists=[
        OwnList("20210815T211000Z-7", "user-knn", up_to_date=True, items=[OwnItem(488, 0.225, [4])])
    ],
)
_READING: Final[dict[ProblemType, str]] = {**READING, **LONG_USER_ID}


def endpoints(reader: UserReader, erasure: Erasure) -> Table:
    """Return the endpoints of users."""
    return (
        ReadEndpoint(
            name="users",
            path="/v1/users",
            tag="users",
            summary="A random sample of users",
            description="""\
Users with a history, others with each request, as examples. There is no list of all users.""",
            parameters=(whole_number("n", MAX_DRAWN, DEFAULT_ITEMS, "maximum number"),),
            read=reader.sample,
            scope="read:users",
            success=Success(kind=Sample, example=Sample(["ABC", "newcomer"])),
            problems={**READING, INVALID_REQUEST: "n: must be a whole number from 1 to 100"},
        ),
        ReadEndpoint(
            name="user_history",
            path="/v1/users/{user_id}/history",
            tag="users",
            summary="A user's history",
            description="The user's instruments with affinities, latest first.",
            parameters=(USER_ID,),
            read=reader.history,
            scope="read:users",
            success=Success(kind=History, example=_HISTORY, headers=KEPT),
            problems={**_READING, UNKNOWN_USER: "The user has no history"},
        ),
        ReadEndpoint(
            name="export_user",
            path="/v1/users/{user_id}/export",
            tag="users",
            summary="Everything that Redis has about a user",
            description="""\
The history with all its figures, the user's variant, and the user's precomputed lists.

Any other data about a user is in Kafka's topics, for as long as they retain it.""",
            parameters=(USER_ID,),
            read=reader.export,
            scope="read:users",
            cost=5,
            success=Success(kind=Export, example=_EXPORT),
            problems={**_READING, UNKNOWN_USER: "There is no data about the user"},
        ),
        ActionEndpoint(
            name="delete_user",
            method="DELETE",
            path="/v1/users/{user_id}",
            tag="users",
            summary="Erase a user",
            description="""\
Removes the user from histories and from all counts; answered once Kafka has acknowledged the
erasure.

Precomputed lists are deleted at once, the history within a second or two. The erasure also applies
to a replay. A user who comes back afterwards starts with an empty history.
Repeating the request does no harm, and an unknown user gets the same answer.""",
            parameters=(USER_ID,),
            act=erasure.erase,
            scope="admin",
            success=Success(kind=Erasing, example=Erasing("ABC"), status=202),
            problems={
                **_READING,
                OVERLOADED: WRITING[OVERLOADED],
                LOG_UNAVAILABLE: "Kafka acknowledged 0 of 1 messages: Local: Message timed out. "
                "Those may be counted again if all are sent again",
            },
        ),
    )
