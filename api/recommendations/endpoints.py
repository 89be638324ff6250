"""The endpoints of recommendations."""

from typing import Final

from api.http.cases import LONG_USER_ID, READING_LISTS
from api.http.endpoint import ReadEndpoint, Success, Table
from api.http.openapi import CACHE_CONTROL
from api.http.parameters import DEFAULT_ITEMS, EXCLUDE, USER_ID, flag, whole_number
from api.recommendations.answers import Recommendations, Recommended
from api.recommendations.reading import RecommendationReader

MAX_RECOMMENDATIONS: Final = 100

EXAMPLE: Final = Recommendations(
    user_id="ABC",
    request_id="default.20210815T211000Z-7.history.Jq3xT0mBzv9cWd2LrK5uYAbRqW9nT2xYc0LmVd8sKfPA",
    source="history",
    model="cosine",
    variant="default",
    generation="20210815T211000Z-7",
    items=[
        Recommended(instrument_id=0, score=0.61, because=[4]),
        Recommended(instrument_id=5, score=0.57, because=[4]),
    ],
)


def endpoints(reader: RecommendationReader) -> Table:
    """Return the endpoints of recommendations."""
    return (
        ReadEndpoint(
            path="/v1/users/{user_id}/recommendations",
            tag="users",
            summary="Instruments for a user",
            description="""\
The first of these that has anything, as `source` says.

- `model`: the user's own list, made from exactly what the user has now. It leaves out what the user
  has, so with `include_seen` it is not asked.
- `history`: the instruments of the user folded into their lists, so that an event counts at once.
  `score(j) = sum_i w_i S_ij / sum_i w_i`, with w_i the affinity for instrument i and S_ij the score
  of j in the list of i. The generation may say that only the latest count, or older ones less. What
  has a score above 0 is recommended.
- `popular`: a user without history gets what is popular with everyone.""",
            parameters=(
                USER_ID,
                whole_number("n", MAX_RECOMMENDATIONS, DEFAULT_ITEMS, "how many at most"),
                EXCLUDE,
                flag("include_seen", "recommend what the user has already, too"),
            ),
            read=reader.recommendations,
            hot=True,
            success=Success(kind=Recommendations, example=EXAMPLE, headers=(CACHE_CONTROL,)),
            problems={**READING_LISTS, **LONG_USER_ID},
        ),
    )
