"""Which rules the data keeps and breaks. Pure."""

from collections.abc import Iterator
from typing import Final

from trainer.counts.matrices import Gram
from trainer.generations.report import Checked
from trainer.quality.measures import of_all, of_items
from trainer.quality.popularity import Popularity
from trainer.quality.rules import MEANINGS, OF_ITEMS, rules
from trainer.quality.settings import QualityConfig

ITEMS_NAMED: Final = 5


def check(gram: Gram, before: Popularity | None, settings: QualityConfig) -> list[Checked]:
    """Return every rule, and whether it holds.

    Args:
        gram: what is about to be trained on.
        before: what was popular in the generation that is served, None if there is none.
        settings: the limits.
    """
    values = of_all(gram, before)
    return [
        *_of_items(gram, settings.inconsistent_max),
        *(
            Checked(
                rule=rule.name,
                level=rule.level,
                holds=rule.holds(values[rule.name]),
                value=values[rule.name],
                limit=rule.limit,
                meaning=MEANINGS[rule.name],
            )
            for rule in rules(settings)
        ),
    ]


def _of_items(gram: Gram, limit: float) -> Iterator[Checked]:
    """Yield a rule for each figure: how much of the counts the rows hold that break it."""
    found = of_items(gram)
    counts = found["counts"]
    every = float(counts.sum())
    for name, fits in OF_ITEMS.items():
        broken = ~fits(found[name])
        share = float(counts[broken].sum()) / every if every else 0.0
        named = gram.items[broken][:ITEMS_NAMED].tolist()
        yield Checked(name, "hard", share <= limit, share, limit, MEANINGS[name], named)
