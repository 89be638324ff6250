"""Names of a world's instruments: a pronounceable symbol, and a company name made of it.

They also have attributes, so that filters and boosts can be tried.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np

from contracts.instruments import Instrument
from producers.simulation.world import World

T = TypeVar("T")


class Sector(NamedTuple):
    """One of the Global Industry Classification Standard's."""

    category: str
    noun: str
    """nouns for its companies' names"""


SECTOR_NAMES: Final = (
    Sector("energy", "Energy"),
    Sector("materials", "Minerals"),
    Sector("industrials", "Industries"),
    Sector("consumer-discretionary", "Retail"),
    Sector("consumer-staples", "Foods"),
    Sector("health-care", "Health"),
    Sector("financials", "Financial"),
    Sector("information-technology", "Systems"),
    Sector("communication-services", "Media"),
    Sector("utilities", "Power"),
    Sector("real-estate", "Properties"),
)
FORMS: Final = ("Inc.", "Corp.", "Group", "Holdings", "plc")
CURRENCIES: Final = ("USD", "USD", "USD", "EUR", "GBP")
"""each as probable as the others"""
LOTS: Final = (1, 10, 100)
MEDIAN_YIELD: Final = 2.0
"""of the dividend, in percent"""
YIELD_SPREAD: Final = 0.5
"""standard deviation of its logarithm"""

# Few enough to avoid most words that no company would use as a symbol.
_CONSONANTS: Final = "BCDFGLMNRSTV"
_VOWELS: Final = "AEIOU"
_SHORTEST: Final = 4


def listed_instruments(world: World, rng: np.random.Generator) -> Iterator[Instrument]:
    """Yield the instruments of a world in the order of their ids; no two symbols are the same."""
    n = world.instruments
    forms, symbols = _choice(FORMS, n, rng), _symbols(n, rng)
    currencies, lots = _choice(CURRENCIES, n, rng), _choice(LOTS, n, rng)
    yields = rng.lognormal(np.log(MEDIAN_YIELD), YIELD_SPREAD, n).round(1).tolist()
    columns = (symbols, world.sector.tolist(), forms, currencies, lots, yields)
    for instrument_id, (symbol, sector, form, currency, lot, dividend) in enumerate(
        zip(*columns, strict=True)
    ):
        category, noun = SECTOR_NAMES[sector]
        yield Instrument(
            instrument_id,
            symbol=symbol,
            name=f"{symbol.capitalize()} {noun} {form}",
            categories=(category,),
            attributes={"currency": currency, "lot": lot, "dividend_yield": dividend},
        )


def _choice(of: Sequence[T], n: int, rng: np.random.Generator) -> list[T]:
    return [of[place] for place in rng.integers(len(of), size=n).tolist()]


def _symbols(n: int, rng: np.random.Generator) -> Iterator[str]:
    """Yield n symbols, all of the shortest length that has as many.

    Multiplying by a number coprime to the number of symbols permutes them, so no symbol repeats and
    none has to be remembered.
    """
    length = _SHORTEST
    while (count := math.prod(len(_letters(place)) for place in range(length))) < n:
        length += 1
    step, first = (int(number) for number in rng.integers(count, size=2))
    while math.gcd(step, count) > 1:
        step += 1
    return (_word((first + step * at) % count, length) for at in range(n))


def _word(number: int, length: int) -> str:
    """Return a word of alternating consonants and vowels.

    >>> _word(0, 4), _word(1, 4)
    ('BABA', 'CABA')
    """
    letters = []
    for place in range(length):
        choice = _letters(place)
        number, letter = divmod(number, len(choice))
        letters.append(choice[letter])
    return "".join(letters)


def _letters(place: int) -> str:
    return _VOWELS if place % 2 else _CONSONANTS
