"""What a user may like, and what is known of a user."""

from fastapi import APIRouter, Request, Response

from api import examples
from api.answers import History, Recommendations
from api.openapi import answered, failed
from api.parameters import DEFAULT_ITEMS, Excluded, IncludeSeen, RecommendationsN, UserId
from api.problems import INVALID_REQUEST, UNKNOWN_USER
from api.recommend import Wish
from api.routes.cases import READING, READING_LISTS
from api.services import ServicesDep

router = APIRouter(tags=["users"])

_LONG_ID = {INVALID_REQUEST: "user_id: must have 1 to 128 bytes of UTF-8, this has 129"}
_NO_HISTORY = {UNKNOWN_USER: "The user has no history"}


@router.get(
    "/v1/users/{user_id:path}/recommendations",
    summary="Instruments for a user",
    responses={
        **answered(Recommendations, examples.RECOMMENDATIONS),
        **failed({**READING_LISTS, **_LONG_ID}),
    },
)
async def recommendations(
    request: Request,
    services: ServicesDep,
    user_id: UserId,
    exclude: Excluded,
    n: RecommendationsN = DEFAULT_ITEMS,
    include_seen: IncludeSeen = False,  # noqa: FBT002 (a query parameter)
) -> Response:
    """The first of these that has anything, as `source` says.

    - `model`: the user's own list, made from exactly what the user has now. It leaves out what the
      user has, so with `include_seen` it is not asked.
    - `history`: the instruments of the user folded into their lists, so that an event counts at
      once. `score(j) = sum_i w_i S_ij / sum_i w_i`, with w_i the affinity for instrument i and S_ij
      the score of j in the list of i. The generation may say that only the latest count, or older
      ones less. What has a score above 0 is recommended.
    - `popular`: a user without history gets what is popular with everyone.
    """
    read = services.answering.recommendations(user_id, Wish(n, exclude, include_seen))
    return await services.respond(request, read)


@router.get(
    "/v1/users/{user_id:path}/history",
    summary="What is known of a user",
    responses={
        **answered(History, examples.HISTORY),
        **failed({**READING, **_LONG_ID, **_NO_HISTORY}),
    },
)
async def history(request: Request, services: ServicesDep, user_id: UserId) -> Response:
    """The instruments that the user has, with affinities, latest first."""
    return await services.respond(request, services.answering.history(user_id))
