"""Validation rules for a worker's records, and reports of unknown fields."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import structlog

from contracts.input_rules import ANY, InputRules
from stream_processors import metrics

log = structlog.get_logger()

NAMES_MOST: Final = 20
"""Per topic: producers choose field names, so their number must be bounded."""


class Intake:
    """Shared by all partitions of a worker."""

    def __init__(self, rules: InputRules = ANY) -> None:
        self.rules = rules
        self._named: defaultdict[str, set[str]] = defaultdict(set)

    def note(self, topic: str, unknown_fields: Mapping[str, int]) -> None:
        """Count records with unknown fields, and log each name once.

        Args:
            topic: their topic.
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
                "records have unknown fields, which are ignored: correct the "
                "names, or set UNKNOWN_FIELDS=refuse to send them to the dead letters",
                topic=topic,
                fields=new,
            )
