"""Values that a setting refuses, derived from its own type and bounds.

docs/settings.md shows the bounds, too: one that changes unnoticed makes that page's test fail.
"""

import math
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

_INVALID: Final = {int: "valid integer", float: "valid number", date: "valid date"}


def wrong_values_of(field: FieldInfo) -> Iterator[tuple[str, str]]:
    """Yield values that a setting's type and bounds refuse, each with words of the reason."""
    kind = kind_of(field)
    if get_origin(kind) is Literal:
        *others, last = map(repr, get_args(kind))
        yield "No Choice", f"{', '.join(others)} or {last}"
    if kind in _INVALID:
        yield "soon", _INVALID[kind]
    for bound in field.metadata:
        yield from _refused_by(kind, bound)
    if kind is float and not any(isinstance(bound, Le | Lt) for bound in field.metadata):
        yield "inf", "finite"


def kind_of(field: FieldInfo) -> Any:
    """Return a setting's type, that of an optional one, too."""
    kinds = [each for each in get_args(field.annotation) if each is not type(None)]
    return kinds[0] if type(None) in get_args(field.annotation) else field.annotation


def _refused_by(kind: Any, bound: Any) -> Iterator[tuple[str, str]]:
    """Yield the values that are nearest to a bound and beyond it."""
    match bound:
        case Ge(least):
            yield _beyond(kind, least, -1), f"greater than or equal to {_written(least)}"
        case Gt(least):
            yield _written(least), f"greater than {_written(least)}"
        case Le(most):
            yield _beyond(kind, most, 1), f"less than or equal to {_written(most)}"
        case Lt(most):
            yield _written(most), f"less than {_written(most)}"
        case _ if pattern := getattr(bound, "pattern", ""):
            yield "a {b}", pattern


def _beyond(kind: Any, bound: Any, sign: int) -> str:
    """Return the value that follows a bound in one direction."""
    if kind is float:
        return repr(math.nextafter(bound, sign * math.inf))
    return str(bound + sign * (timedelta(days=1) if kind is date else 1))


def _written(bound: Any) -> str:
    """Return a bound in the words of a refusal, which have no exponents."""
    return str(bound) if isinstance(bound, date) else f"{Decimal(str(bound)).normalize():f}"
