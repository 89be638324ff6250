"""Which records a mapping takes: the conditions of `where`. Pure."""

import json
import re
from collections.abc import Callable

from producers.adapt.fields import Row, at_path, text_of
from producers.adapt.mapping import Condition

Unmet = Callable[[Row], Condition | None]


def first_unmet(conditions: tuple[Condition, ...]) -> Unmet | None:
    """Return a function to the first condition that a record does not meet, None if it meets all.

    Values are compared as text, as those of `values`. A record without a value meets `not_in` and
    `not_matches`, and no other condition.
    """
    if not conditions:
        return None
    checks = [(condition, _check(condition)) for condition in conditions]
    return lambda row: next((its for its, is_met in checks if not is_met(row)), None)


def _check(condition: Condition) -> Callable[[Row], bool]:
    read = at_path(condition.path)
    among = condition.in_ or condition.not_in
    expects = bool(condition.in_ or condition.matches)
    if among:
        texts = frozenset(map(text_of, among))
        holds: Callable[[str], object] = texts.__contains__
    else:
        holds = re.compile(condition.matches or condition.not_matches or "").fullmatch

    def is_met(row: Row) -> bool:
        value = read(row)
        return (value is not None and bool(holds(text_of(value)))) is expects

    return is_met


def described(condition: Condition) -> str:
    """Return a condition as a person reads it.

    >>> described(Condition(path="venue", in_=("XNAS", "XNYS")))
    'venue in ["XNAS", "XNYS"]'
    """
    ((name, said),) = condition.tests().items()
    return f"{condition.path} {name} {json.dumps(said, ensure_ascii=False)}"
