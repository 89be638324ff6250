"""By which rules a worker takes records, and what it says of fields that it does not know."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import structlog

from contracts.input_rules import ANY, InputRules
from stream_processors import metrics

log = structlog.get_logger()

NAMES_MOST: Final = 20
"""Of a topic: what a record's fields are called is for its producer to choose."""


class Intake:
    """Of one worker, all its partitions."""

    def __init__(self, rules: InputRules = ANY) -> None:
        self.rules = rules
        self._named: defaultdict[str, set[str]] = defaultdict(set)

    def note(self, topic: str, unknown_fields: Mapping[str, int]) -> None:
        """Count records with fields that are not known, and log each name once.

        Args:
            topic: theirs.
            unknown_fields: name -> records.
        """
        if not unknown_fields:
            return
        metrics.UNKNOWN_FIELDS.labels(topic).inc(sum(unknown_fields.values()))
        named = self._named[topic]
        new = sorted(unknown_fields.keys() - named)[: NAMES_MOST - len(named)]
        if new:
            named.update(new)
            log.warning(
                "records have fields that are not known, and are taken without them: correct the "
                "names, or set UNKNOWN_FIELDS=refuse to have dead letters of them",
                topic=topic,
                fields=new,
            )
