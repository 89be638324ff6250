"""The endpoints of instruments."""

from collections.abc import Callable
from typing import Final

from api.http.cases import READING_LISTS
from api.http.endpoint import ReadEndpoint, Success, Table
from api.http.openapi import CACHE_CONTROL, KEPT
from api.http.parameters import (
    DEFAULT_ITEMS,
    INSTRUMENT_ID,
    Parameter,
    is_instrument,
    parse_instrument_id,
    parse_user_id,
    whole_number,
)
from api.http.problems import UNKNOWN_INSTRUMENT, ProblemType
from api.http.replies import Reply
from api.http.schemas import INSTRUMENT_OR_USER
from api.instruments.answers import Similar, SimilarInstrument
from api.instruments.reading import SimilarReader
from api.models.answers import PredictedItems
from api.redis.reading import Read

MAX_SIMILAR: Final = 200

_PROBLEMS: Final[dict[ProblemType, str]] = {
    **READING_LISTS,
    UNKNOWN_INSTRUMENT: "Instrument 4 is not in the model: no interactions up to now",
}
_SIMILAR: Final = Similar(
    instrument_id=4,
    model="cosine",
    variant="default",
    generation="20210815T211000Z-7",
    items=[
        SimilarInstrument(instrument_id=0, score=0.61, support=42),
        SimilarInstrument(instrument_id=5, score=0.57, support=38),
    ],
)


def _parse_similar_to(text: str) -> int | str:
    return parse_instrument_id(text) if is_instrument(text) else parse_user_id(text)


_SIMILAR_TO: Final = Parameter(
    "similar_to",
    _parse_similar_to,
    INSTRUMENT_OR_USER,
    "ASCII digits: an instrument's id; anything else: a user's",
    may_have_slashes=True,
)


def endpoints(reader: SimilarReader, recommended: Callable[[str], Read[Reply]]) -> Table:
    """Return the endpoints of instruments.

    Args:
        reader: reads what is similar.
        recommended: answers with instruments for a user in the first version's form.
    """

    def similar_to(similar_to: int | str) -> Read[Reply]:
        if isinstance(similar_to, int):
            return reader.legacy(similar_to)
        return recommended(similar_to)

    return (
        ReadEndpoint(
            path="/v1/instruments/{instrument_id}/similar",
            tag="instruments",
            summary="The most similar instruments",
            description="Instruments whose users are the same, most similar first: those with "
            "scores above 0.",
            parameters=(
                INSTRUMENT_ID,
                whole_number("n", MAX_SIMILAR, DEFAULT_ITEMS, "how many at most"),
            ),
            read=reader.similar,
            hot=True,
            success=Success(kind=Similar, example=_SIMILAR, headers=KEPT),
            problems=_PROBLEMS,
        ),
        ReadEndpoint(
            path="/instruments/similar/{similar_to}",
            tag="first version",
            summary="10 instruments, similar to one or for a user",
            description="Digits only mean an instrument, whose 10 most similar come; anything else "
            "is a user.",
            parameters=(_SIMILAR_TO,),
            read=similar_to,
            hot=True,
            success=Success(
                kind=PredictedItems, example=PredictedItems(["0", "5"]), headers=(CACHE_CONTROL,)
            ),
            problems=_PROBLEMS,
        ),
    )
