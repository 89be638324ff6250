"""The endpoints of instruments."""

from collections.abc import Callable
from typing import Final

import msgspec

from api.bars.answers import LatestQuote
from api.http.endpoint import ReadEndpoint, Success, Table
from api.http.filters import Check, boost_parameter, filter_parameters
from api.http.instrument_refs import NAMES
from api.http.openapi_schemas import CACHE_CONTROL, KEPT
from api.http.parameters import (
    DEFAULT_ITEMS,
    INSTRUMENT_OR_USER,
    OFFSET,
    Parameter,
    instrument_parameter,
    whole_number,
)
from api.http.parsing import Resolve, is_instrument, parse_instrument_id, parse_user_id
from api.http.problems import (
    NO_SUCH_SYMBOL,
    READING,
    READING_LISTS,
    UNKNOWN_INSTRUMENT,
    ProblemType,
)
from api.http.reply import Reply
from api.instruments.answers import (
    DescribedInstrument,
    Instruments,
    ListedInstrument,
    PredictedItems,
    Similar,
    SimilarInstrument,
)
from api.instruments.reading import InstrumentReader, SimilarReader, parse_page_token
from api.redis.reading import Read

MAX_SIMILAR: Final = 200
MAX_INSTRUMENTS: Final = 1000
MAX_SEARCH_CHARACTERS: Final = 100

_PROBLEMS: Final[dict[ProblemType, str]] = {
    **READING_LISTS,
    UNKNOWN_INSTRUMENT: "Instrument 4 had no interactions when the served lists were made",
}
_SIMILAR: Final = Similar(
    instrument_id=4,
    request_id="default.20210815T211000Z-7.similar.AAAFAA.Jq3xT0mBzv9cWd2LrK5uYAbRqW9nT2xYc0LmVd8sKfPA",
    source="model",
    model="cosine",
    variant="default",
    generation="20210815T211000Z-7",
    items=[
        SimilarInstrument(instrument_id=0, score=0.61, support=42),
        SimilarInstrument(instrument_id=5, score=0.57, support=38),
    ],
)
_ENTRY: Final = ListedInstrument(4, "AAPL", "Apple Inc.", ("tech",), listed=True, attributes={})
_INSTRUMENTS: Final = Instruments([_ENTRY], "YWFwbCAwMDAwMDAwMDAwMDAwMDAwMDA0")
_DESCRIBED: Final = DescribedInstrument(
    **msgspec.structs.asdict(_ENTRY), quote=LatestQuote(30.85, 1629061628123)
)
_LISTED: Final[dict[str, bool | None]] = {"": None, "true": True, "false": False}


def _parse_listed(text: str) -> bool | None:
    if text not in _LISTED:
        raise ValueError("must be true or false")
    return _LISTED[text]


def _parse_search(text: str) -> str:
    if len(text) > MAX_SEARCH_CHARACTERS:
        raise ValueError(f"must have at most {MAX_SEARCH_CHARACTERS} characters")
    return text


_SEARCH: Final = Parameter(
    "search",
    _parse_search,
    {"type": "string", "maxLength": MAX_SEARCH_CHARACTERS, "examples": ["app"]},
    "words, each a prefix of the symbol or of a word of the name, ignoring case",
    default="",
)
_LISTED_OR_NOT: Final = Parameter(
    "listed",
    _parse_listed,
    {"type": "string", "enum": [*_LISTED]},
    "only listed or only unlisted instruments; all if absent or empty",
    default=None,
)
_PAGE_TOKEN: Final = Parameter(
    "page_token",
    parse_page_token,
    {"type": "string", "examples": [""]},
    "`next_page_token` of the previous page; the first page if absent or empty",
    default=None,
)


def _parse_similar_to(text: str) -> int | str:
    return parse_instrument_id(text) if is_instrument(text) else parse_user_id(text)


_SIMILAR_TO: Final = Parameter(
    "similar_to",
    _parse_similar_to,
    INSTRUMENT_OR_USER,
    "all ASCII digits: an instrument's id; anything else: a user's id",
    may_have_slashes=True,
)


def endpoints(
    catalog: InstrumentReader,
    reader: SimilarReader,
    recommended: Callable[[str], Read[Reply]],
    resolve: Resolve,
    check: Check,
) -> Table:
    """Return the endpoints of instruments.

    Args:
        catalog: reads the catalog.
        reader: reads similar instruments.
        recommended: answers with instruments for a user in the first version's form.
        resolve: finds instruments by their symbols.
        check: checks conditions on attributes.
    """

    def similar_to(similar_to: int | str) -> Read[Reply]:
        if isinstance(similar_to, int):
            return reader.legacy(similar_to)
        return recommended(similar_to)

    return (
        ReadEndpoint(
            name="instruments",
            path="/v1/instruments",
            tag="instruments",
            summary="Instruments by symbol",
            description="The instruments of the catalog that meet all conditions. One may "
            "have bars without being in the catalog.",
            parameters=(
                _SEARCH,
                *filter_parameters(check),
                _LISTED_OR_NOT,
                whole_number("n", MAX_INSTRUMENTS, DEFAULT_ITEMS, "maximum number"),
                _PAGE_TOKEN,
            ),
            read=catalog.listed,
            success=Success(kind=Instruments, example=_INSTRUMENTS, headers=KEPT),
            problems=READING,
        ),
        ReadEndpoint(
            name="similar_instruments",
            path="/v1/instruments/{instrument}/similar",
            tag="instruments",
            summary="The most similar instruments",
            description="""\
Instruments with the same users, most similar first: those with scores above 0.

Unlisted instruments are left out. If the filters leave nothing of the list, the answer has the
popular instruments that meet them instead, as `source` shows.""",
            parameters=(
                instrument_parameter(resolve),
                whole_number("n", MAX_SIMILAR, DEFAULT_ITEMS, "maximum number"),
                OFFSET,
                *filter_parameters(check),
                boost_parameter(check),
                NAMES,
            ),
            read=reader.similar,
            hot=True,
            success=Success(kind=Similar, example=_SIMILAR, headers=KEPT),
            problems=_PROBLEMS,
        ),
        ReadEndpoint(
            name="legacy_similar",
            path="/instruments/similar/{similar_to}",
            tag="first version",
            summary="10 instruments, similar to one or for a user",
            description="All digits: the 10 instruments most similar to that instrument; anything "
            "else: 10 instruments for that user.",
            parameters=(_SIMILAR_TO,),
            read=similar_to,
            scope="read:recommendations",
            needs_scope=lambda similar_to: isinstance(similar_to, str),
            hot=True,
            success=Success(
                kind=PredictedItems, example=PredictedItems(["0", "5"]), headers=(CACHE_CONTROL,)
            ),
            problems=_PROBLEMS,
        ),
        ReadEndpoint(
            name="instrument",
            path="/v1/instruments/{instrument}",
            tag="instruments",
            summary="An instrument and its newest quote",
            description="As described in the catalog. `quote` is the last one of the newest minute "
            "bar, null if none is stored.",
            parameters=(instrument_parameter(resolve),),
            read=catalog.described,
            success=Success(kind=DescribedInstrument, example=_DESCRIBED, headers=KEPT),
            problems={**READING, UNKNOWN_INSTRUMENT: NO_SUCH_SYMBOL},
        ),
    )
