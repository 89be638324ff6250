"""What a user may like, and what is known of a user."""

from fastapi import APIRouter, Response

from api import examples
from api.answers import History, Recommendations, respond
from api.openapi import answered, failed
from api.parameters import Excluded, IncludeSeen, RecommendationsN, UserId
from api.problems import INVALID_REQUEST, UNKNOWN_USER, Problem
from api.recommend import Wish, history_answer
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
    services: ServicesDep,
    user_id: UserId,
    exclude: Excluded,
    n: RecommendationsN = 10,
    include_seen: IncludeSeen = False,  # noqa: FBT002 (a query parameter)
) -> Response:
    """The first of these that has anything, as `source` says.

    - `model`: the user's own list, made from exactly what the user has now. It leaves out what the
      user has, so with `include_seen` it is not asked.
    - `history`: the latest 50 instruments of the user folded into the instruments' lists, so that
      an event counts at once. `score(j) = sum_i r_i sim(i, j) / sum_i r_i` with the affinities r.
    - `popular`: a user without history gets what is popular with everyone.
    """
    wish = Wish(n, exclude, include_seen)
    async with services.store.reading() as reader:
        generation, chosen = await reader.recommendations(user_id, wish)
    services.metrics.recommendations.labels(chosen.source).inc()
    return respond(
        Recommendations(
            user_id,
            chosen.source,
            chosen.model,
            generation.variant,
            generation.name,
            chosen.items,
        )
    )


@router.get(
    "/v1/users/{user_id:path}/history",
    summary="What is known of a user",
    responses={
        **answered(History, examples.HISTORY),
        **failed({**READING, **_LONG_ID, **_NO_HISTORY}),
    },
)
async def history(services: ServicesDep, user_id: UserId) -> Response:
    """The instruments that the user has, with affinities, latest first."""
    async with services.store.reading() as reader:
        items = await reader.history(user_id)
    if not items:
        raise Problem(UNKNOWN_USER, "The user has no history")
    return respond(history_answer(user_id, items))
