"""Of the poisoned log one record of a hundred is bad, and bad in the worker's eyes, too."""

from benchmarks.bars import make_quotes
from benchmarks.poison import BAD_VALUES, EVERY, poisoned
from contracts.messages import decode_quotes, encode

START_MS = 1_700_000_040_000


def test_every_hundredth_record_is_bad_and_the_others_are_the_quotes() -> None:
    quotes = list(make_quotes(1_000, 50, START_MS))
    values = [value for _, value in poisoned(quotes)]
    _, rejections = decode_quotes(values, START_MS)
    bad = range(EVERY - 1, 1_000, EVERY)
    assert [rejection.place for rejection in rejections] == list(bad)
    assert {values[place] for place in bad} == set(BAD_VALUES)
    assert [v for place, v in enumerate(values) if place not in bad] == [
        encode(quote) for place, quote in enumerate(quotes) if place not in bad
    ]
