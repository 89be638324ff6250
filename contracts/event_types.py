"""What users do with items: the types of events, and how much each weighs. Pure.

A type that does not weigh more than 0 rejects the item: the user must not be shown it again.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

MAX_NAME_CHARACTERS: Final = 40
TRADE: Final = "trade"
"""An event without a type is one."""
BUILT_IN: Final[Mapping[str, float]] = {
    "view": 1.0,
    "click": 2.0,
    "watch": 3.0,
    TRADE: 5.0,
    "hide": 0.0,
    "dislike": -5.0,
}
"""Type of event -> its weight: roughly those of Microsoft Recommenders' SAR. A disliked item counts
against others as much as a traded one for them; a hidden one says nothing about others."""
ERASED: Final = "erased"
"""The `event` of a tombstone in the archive's `interactions`; no type of event has the name."""
MAX_TYPES: Final = 50
MAX_WEIGHT: Final = 1e6

_SETTING: Final = "event_weights"
_ASSIGNED: Final = re.compile(r"\s*(?P<name>[^=]*?)\s*=\s*(?P<weight>[^=]*?)\s*")
_NAME: Final = re.compile(rf"[a-z][a-z0-9_-]{{0,{MAX_NAME_CHARACTERS - 1}}}")


def parse_event_weights(text: str) -> dict[str, float]:
    """Return every type of event and its weight: the built-in ones, changed and added to by `text`.

    Raises:
        ValueError: an assignment is wrong; the text names it and the remedy.

    >>> weights = parse_event_weights("purchase=8, view=0.5")
    >>> weights["purchase"], weights["view"], weights["trade"]
    (8.0, 0.5, 5.0)
    """
    given: dict[str, float] = {}
    for assignment in filter(str.strip, text.split(",")):
        name, weight = _assigned(assignment)
        if name in given:
            raise ValueError(f"{name} has two weights: remove one")
        given[name] = weight
    weights = {**BUILT_IN, **given}
    if len(weights) > MAX_TYPES:
        raise ValueError(f"{len(weights)} types of events: at most {MAX_TYPES} are allowed")
    return weights


def describe_event_weights(weights: Mapping[str, float], *, signs_only: bool = False) -> str:
    """Return what differs from the built-in weights, so that equal weights give equal text.

    Args:
        weights: of all types.
        signs_only: whether only the sign of a weight matters, as it does to binary affinities.

    >>> describe_event_weights(parse_event_weights("view=0.5, purchase=8, trade=5"))
    'purchase=8,view=0.5'
    >>> describe_event_weights(parse_event_weights("view=0.5, purchase=8"), signs_only=True)
    'purchase=1'
    """
    matters = _sign if signs_only else float
    differing = {
        name: matters(weight)
        for name, weight in sorted(weights.items())
        if name not in BUILT_IN or matters(weight) != matters(BUILT_IN[name])
    }
    return ",".join(f"{name}={weight:.17g}" for name, weight in differing.items())


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the names of the settings by which what was folded before does not fit.

    Types of events may have been added since: until then, such events were rejected. A type of a
    deployment's own may be a built-in one by now; then its sign is all that binary affinities had.

    >>> changed({"event_weights": "purchase=8"}, {"event_weights": "purchase=8,refund=0"})
    []
    >>> changed({"event_weights": "purchase=8"}, {"event_weights": "purchase=9", "n": 1})
    ['event_weights', 'n']
    """
    names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    matters = _sign if now.get("affinity") == "binary" else float
    weights, earlier = (
        {(name, matters(w)) for name, w in parse_event_weights(of.get(_SETTING, "")).items()}
        for of in (now, before)
    )
    return [name for name in names if name != _SETTING or not earlier <= weights]


def _sign(weight: float) -> float:
    return float((weight > 0) - (weight < 0))


def _assigned(assignment: str) -> tuple[str, float]:
    found = _ASSIGNED.fullmatch(assignment)
    if not found:
        raise ValueError(f"{assignment.strip()!r}: write TYPE=WEIGHT, for example purchase=8")
    name = found["name"]
    if not _NAME.fullmatch(name) or name == ERASED:
        raise ValueError(
            f"{name!r} cannot be a type of event: use 1 to {MAX_NAME_CHARACTERS} of a-z, 0-9, _ "
            f"and -, starting with a letter, and not {ERASED!r}"
        )
    try:
        weight = float(found["weight"])
    except ValueError:
        raise ValueError(f"{name}={found['weight']}: the weight must be a number") from None
    if not abs(weight) <= MAX_WEIGHT:
        raise ValueError(f"{name}={found['weight']}: use a weight from -1e6 to 1e6")
    if name == TRADE and weight <= 0:
        raise ValueError(
            f"{name}={found['weight']}: use a weight above 0, as events without a type are trades"
        )
    return name, weight


def unknown_type(name: str, weights: Mapping[str, float]) -> str:
    """Return the reason to reject an event for its type.

    >>> unknown_type("purchase", {"view": 1, "trade": 5})
    "event 'purchase' is none of view, trade (EVENT_WEIGHTS)"
    """
    return f"event {name!r:.60} is none of {', '.join(weights)} (EVENT_WEIGHTS)"
