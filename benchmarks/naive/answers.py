"""What the baseline reads from Redis and what it answers, as pydantic models."""

from typing import Literal

from pydantic import BaseModel


class StoredBar(BaseModel):
    """A minute bar as it stands in Redis."""

    o: float
    h: float
    l: float  # noqa: E741 (the field's letter)
    c: float
    v: float
    n: int
    pv: float


class StoredEntry(BaseModel):
    """What a user has with one item."""

    r: float
    t: int
    s: float = 1


class StoredNeighbor(BaseModel):
    """An item of a list of neighbors."""

    item: str
    score: float
    support: float


class StoredSimilar(BaseModel):
    """The neighbors of an item."""

    model: str
    items: list[StoredNeighbor]


class StoredRecommendation(BaseModel):
    """An item of a user's own list, or of the popular one."""

    item: str
    score: float
    because: list[str] = []


class StoredList(BaseModel):
    """A user's own list, or the popular one."""

    model: str
    off: tuple[int, int] | None = None
    items: list[StoredRecommendation]


class StoredFoldIn(BaseModel):
    """How histories are folded in."""

    items: int = 5_000
    half_life_days: float = 0
    half_life_items: float = 0


class Generation(BaseModel):
    """What a variant serves."""

    generation: str = ""
    fold_in: StoredFoldIn = StoredFoldIn()


class StoredCurrent(BaseModel):
    """The pointer to what is served."""

    variants: dict[str, Generation]


class Bar(BaseModel):
    """A minute bar."""

    t: int
    o: float
    h: float
    l: float  # noqa: E741 (the field's letter)
    c: float
    v: float
    n: int
    vw: float | None
    closed: bool


class Bars(BaseModel):
    """Bars of an instrument."""

    instrument_id: int
    interval: str
    bars: list[Bar]


class LegacyBar(BaseModel):
    """A minute bar in the first version's names."""

    instrid: int
    price_close: float
    price_high: float
    price_low: float
    price_open: float


class SimilarInstrument(BaseModel):
    """A neighbor."""

    instrument_id: int
    score: float
    support: float


class Similar(BaseModel):
    """The most similar instruments."""

    instrument_id: int
    model: str
    variant: str
    generation: str
    items: list[SimilarInstrument]


class Recommended(BaseModel):
    """A recommended instrument."""

    instrument_id: int
    score: float
    because: list[int]


class Recommendations(BaseModel):
    """Instruments for a user."""

    user_id: str
    source: Literal["model", "history", "popular"]
    model: str
    variant: str
    generation: str
    items: list[Recommended]


class PredictedItems(BaseModel):
    """Instrument ids, best first."""

    predicted_items: list[str]
