"""The endpoints of users."""

from typing import Final

from api.http.cases import LONG_USER_ID, READING
from api.http.endpoint import ReadEndpoint, Success, Table
from api.http.openapi import KEPT
from api.http.parameters import USER_ID
from api.http.problems import UNKNOWN_USER
from api.users.answers import Held, History
from api.users.reading import UserReader

_HISTORY: Final = History(
    user_id="ABC", items=[Held(instrument_id=4, affinity=1, last_event_ts=1629061628123)]
)


def endpoints(reader: UserReader) -> Table:
    """Return the endpoints of users."""
    return (
        ReadEndpoint(
            path="/v1/users/{user_id}/history",
            tag="users",
            summary="What is known of a user",
            description="The instruments that the user has, with affinities, latest first.",
            parameters=(USER_ID,),
            read=reader.history,
            success=Success(kind=History, example=_HISTORY, headers=KEPT),
            problems={**READING, **LONG_USER_ID, UNKNOWN_USER: "The user has no history"},
        ),
    )
