"""The answers about instruments: the only definition of their JSON."""

import msgspec


class SimilarInstrument(msgspec.Struct, frozen=True, gc=False):
    """A neighbor; `support` is how many users have both, in binary mode."""

    instrument_id: int
    score: float
    support: float


class Similar(msgspec.Struct, frozen=True):
    """The instruments most similar to one, most similar first."""

    instrument_id: int
    model: str
    variant: str
    generation: str
    items: list[SimilarInstrument]
