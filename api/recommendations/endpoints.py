"""The endpoints of recommendations."""

from collections.abc import Mapping
from typing import Final, get_args

from api.http.endpoint import ActionEndpoint, ReadEndpoint, Success, Table
from api.http.filters import Check, boost_parameter, filter_parameters
from api.http.instrument_refs import NAMES
from api.http.openapi_schemas import CACHE_CONTROL, KEPT, json_body, schema_of
from api.http.parameters import (
    DEFAULT_ITEMS,
    OFFSET,
    USER_ID,
    exclude_parameter,
    one_of,
    share,
    whole_number,
)
from api.http.parsing import Resolve
from api.http.problems import (
    INCOMPLETE_BODY,
    INVALID_REQUEST,
    LONG_USER_ID,
    MALFORMED_JSON,
    READING,
    READING_LISTS,
    TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    WRITING,
    ProblemType,
)
from api.recommendations.answers import (
    Batch,
    ItemRecommendations,
    Recommendations,
    Recommended,
    Trending,
    TrendingItem,
)
from api.recommendations.bodies import (
    MAX_ITEMS,
    MAX_RECOMMENDATIONS,
    MAX_USERS,
    ForItems,
    ForUsers,
    WeightedItem,
)
from api.recommendations.choosing import Repeats
from api.recommendations.reading import BodyRequests, RecommendationReader
from api.recommendations.trending import TrendingItems
from contracts.trending import TRENDING_WINDOWS

MAX_TRENDING: Final = 100

EXAMPLE: Final = Recommendations(
    user_id="ABC",
    request_id="default.20210815T211000Z-7.history.AAAFAA.Jq3xT0mBzv9cWd2LrK5uYAbRqW9nT2xYc0LmVd8sKfPA",
    source="history",
    model="cosine",
    variant="default",
    generation="20210815T211000Z-7",
    items=[
        Recommended(instrument_id=0, score=0.61, because=[4]),
        Recommended(instrument_id=5, score=0.57, because=[4]),
    ],
)
_BASKET: Final = ForItems(items=[WeightedItem(4, 2.0), WeightedItem(7)], n=3)
_OF_ITEMS: Final = ItemRecommendations(
    request_id="default.20210815T211000Z-7.items.AAA.Jq3xT0mBzv9cWd2LrK5uYAbRqW9nT2xYc0LmVd8sKfPA",
    source="items",
    model="cosine",
    variant="default",
    generation="20210815T211000Z-7",
    items=[Recommended(instrument_id=0, score=0.61, because=[4, 7])],
)
_TRENDING: Final = Trending(
    request_id="none.1h-1629061682000.trending.BAAAAA.Jq3xT0mBzv9cWd2LrK5uYAbRqW9nT2xYc0LmVd8sKfPA",
    window="1h",
    start=1629058200000,
    as_of=1629061682000,
    items=[TrendingItem(instrument_id=4, events=17), TrendingItem(instrument_id=0, events=5)],
)
_ASKED_BY_BODY: Final[Mapping[ProblemType, str]] = {
    **{kind: WRITING[kind] for kind in (INCOMPLETE_BODY, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE)},
    **READING_LISTS,
    INVALID_REQUEST: "items: must be a list of at least 1 item, got []",
    MALFORMED_JSON: "Input data was truncated",
}


def endpoints(
    reader: RecommendationReader,
    by_body: BodyRequests,
    trending: TrendingItems,
    resolve: Resolve,
    check: Check,
) -> Table:
    """Return the endpoints of recommendations.

    Args:
        reader: reads those for a user.
        by_body: answers requests with a body.
        trending: knows what is trending.
        resolve: finds instruments by their symbols.
        check: checks conditions on attributes.
    """
    return (
        ReadEndpoint(
            name="user_recommendations",
            path="/v1/users/{user_id}/recommendations",
            tag="users",
            summary="Instruments for a user",
            description="""\
Instruments from the first of these sources that has any, named by `source`.

- `model`: the user's precomputed list, made from exactly the current history. It excludes
  instruments that the user has.
- `history`: the user's instruments folded into their lists, so that an event counts at once:
  `score(j) = sum_i w_i S_ij / sum_i |w_i|`, with w_i the affinity for instrument i and S_ij the
  score of j in the list of i. In some generations only the latest instruments count, or older ones
  count less. Instruments with a score above 0 are recommended.
- `popular`: the most popular instruments.

Before these may come `repeat`: instruments that the user has and may take again, ranked by how
often, how recently, and how well they fit the rest. `repeats=auto` puts as many of them first as
predicted best what users took, `first` all of them, `none` none.

If a source has fewer than `n` instruments, the next ones follow, and these instruments have a
`source` of their own. Instruments that the catalog marks as unlisted are never recommended.
`category`, `exclude_category` and `filter` narrow the list further; then there are `n` instruments
if the catalog has that many, as the rest of it comes last. `boost` reorders each source. Every
tenth instrument may be a `new` one: a listed one without interactions, for users whose history is
concentrated in its category.""",
            parameters=(
                USER_ID,
                whole_number("n", MAX_RECOMMENDATIONS, DEFAULT_ITEMS, "maximum number"),
                OFFSET,
                exclude_parameter(resolve),
                *filter_parameters(check),
                boost_parameter(check),
                one_of("repeats", get_args(Repeats), "auto", "whether what the user has may lead"),
                share("diversity", "how much to prefer other categories than those before"),
                NAMES,
            ),
            read=reader.recommendations,
            scope="read:recommendations",
            hot=True,
            success=Success(kind=Recommendations, example=EXAMPLE, headers=(CACHE_CONTROL,)),
            problems={**READING_LISTS, **LONG_USER_ID},
        ),
        ActionEndpoint(
            name="item_recommendations",
            method="POST",
            path="/v1/recommendations",
            tag="recommendations",
            summary="Instruments for a set of instruments",
            description=f"""\
For a session or a basket without a known user: 1 to {MAX_ITEMS} instruments, the most recent first,
are combined like a user's history, each with its `weight`. Nothing is published or stored.
`source` is `items`, or `popular` if their lists are empty.""",
            act=by_body.for_items,
            body=json_body(schema_of(ForItems), basket=_BASKET),
            body_kinds=(ForItems,),
            success=Success(kind=ItemRecommendations, example=_OF_ITEMS, headers=(CACHE_CONTROL,)),
            problems=_ASKED_BY_BODY,
        ),
        ActionEndpoint(
            name="batch_recommendations",
            method="POST",
            path="/v1/recommendations/batch",
            tag="recommendations",
            summary="Instruments for each of several users",
            description=f"""\
For 1 to {MAX_USERS} users, in the order of the body: each the same as from
`/v1/users/{{user_id}}/recommendations`, with its own `request_id`. If one fails, the whole request
fails.""",
            act=by_body.for_users,
            body=json_body(schema_of(ForUsers), batch=ForUsers(user_ids=["ABC", "ABD"], n=3)),
            body_kinds=(ForUsers,),
            scope="read:recommendations",
            success=Success(kind=Batch, example=Batch([EXAMPLE]), headers=(CACHE_CONTROL,)),
            problems=_ASKED_BY_BODY,
        ),
        ReadEndpoint(
            name="trending_instruments",
            path="/v1/trending",
            tag="recommendations",
            summary="The instruments with the most recent events",
            description="""\
Every event except `hide` and `dislike` counts 1, by event time, within seconds. A window begins at
the start of a bucket, `start`, so it is up to a bucket longer than its name: 10 minutes for `1h`,
an hour for `6h` and `24h`, a day (UTC) for `7d`. It ends at `as_of`, when the events were counted.
Instruments that the catalog marks as unlisted are left out.""",
            parameters=(
                one_of("window", TRENDING_WINDOWS, "24h", "over which events are counted"),
                whole_number("n", MAX_TRENDING, DEFAULT_ITEMS, "maximum number"),
                OFFSET,
                *filter_parameters(check),
                NAMES,
            ),
            read=trending.trending,
            hot=True,
            success=Success(kind=Trending, example=_TRENDING, headers=KEPT),
            problems={**READING, INVALID_REQUEST: "window: must be 1h, 6h, 24h, 7d, not '2h'"},
        ),
    )
