"""Hooks of schemathesis: rules for requests that JSON Schema cannot express.

A user's id is bounded in bytes, an event must neither be ahead of the server's clock nor before the
earliest date that it accepts, an integer is written as one (4.0 is not), an id as a text fits into
63 bits, no instrument has a symbol, an event has one of the types that are set, a page token is one
that was issued, a session needs an exchange, a key of a write is new, a condition is on an
attribute of the catalog, an interval is a week at most, and a time zone is one that exists, with an
interval of whole days. In requests generated to be valid, values that violate these rules are
adjusted or left out.
"""

import time
from typing import Any, Final

import schemathesis
from schemathesis import Case, HookContext

from api.bars.intervals import MINUTE, parse_interval
from api.settings import ApiSettings
from contracts.event_types import BUILT_IN
from contracts.messages import MAX_USER_ID_BYTES

_USERS: Final = frozenset({"user_id", "user_ids", "userid", "similar_to"})
_WHOLE: Final = frozenset({"ts", "instrument_id", "instrid", "position", "exclude", "n", "offset"})
_KNOWN: Final = {
    "filter": "currency:eq:USD",
    "boost": "lot:ge:50:2",
    "timezone": "America/New_York",
}
"""Attributes of the catalog that is served, and a time zone."""
_CATEGORIES: Final = frozenset({"category", "exclude_category"})
_LEFT_OUT: Final = frozenset({"page_token", "session"})
_DIGITS: Final = 18
"""Of any number of 63 bits."""
_ID: Final = "4"
_EARLIEST_S: Final = ApiSettings().input_rules().earliest_ms / 1000


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    if case.meta is not None and case.meta.generation.mode.is_positive:
        case.body = _bent(case.body, time.time())
        case.path_parameters = _bent(case.path_parameters, time.time())
        if case.headers:
            case.headers.pop("Idempotency-Key", None)
        if case.query:
            query = {name: case.query[name] for name in case.query if name not in _LEFT_OUT}
            interval = str(query.get("interval") or MINUTE.text)
            try:
                parse_interval(interval)
            except ValueError:
                query["interval"] = interval = "1w"
            if not interval.endswith(("d", "w")):
                query.pop("timezone", None)
            case.query = {
                name: _bent_field(name, value, 0) if name in _KNOWN else value
                for name, value in query.items()
            }


@schemathesis.hook
def filter_case(context: HookContext, case: Case) -> bool:
    """Leave out ids that are invalid because they are negative: as texts, they are symbols.

    And lists of categories with an empty part, which the server ignores.
    """
    query = case.query or {}
    instruments = query.get("instruments")
    named = instruments if isinstance(instruments, list) else []
    named = [*named, (case.path_parameters or {}).get("instrument")]
    if any(isinstance(name, int | float) and name < 0 for name in named):
        return False
    categories = [query[name] for name in _CATEGORIES & query.keys()]
    texts = [",".join(map(str, it)) if isinstance(it, list) else str(it) for it in categories]
    return all(part.strip() for text in texts for part in text.split(","))


def _bent(value: Any, now_s: float) -> Any:
    """Return the value with users' ids and times inside of it that keep the rules."""
    if isinstance(value, list):
        return [_bent(each, now_s) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: _bent_field(name, each, now_s) for name, each in value.items()}


def _bent_field(name: str, value: Any, now_s: float) -> Any:
    if isinstance(value, list):
        return [_bent_field(name, each, now_s) for each in value]
    if isinstance(value, dict):
        return _bent(value, now_s)
    if name in _USERS and isinstance(value, str):
        allowed = value.replace("\0", "0").replace("\ufffd", "0")
        return allowed.encode()[:MAX_USER_ID_BYTES].decode(errors="ignore")
    if name in _KNOWN:
        return _KNOWN[name]
    if name == "event" and isinstance(value, str) and value not in BUILT_IN:
        return next(iter(BUILT_IN))
    if name in _WHOLE and isinstance(value, float):
        value = int(value)
    if name in _WHOLE and isinstance(value, str):
        return value[:_DIGITS] if value.isdecimal() else _ID
    if name == "ts" and isinstance(value, int):
        return min(max(value, int(_EARLIEST_S * 1000)), int(now_s * 1000))
    if name == "timestamp" and isinstance(value, int | float | str):
        return value if _EARLIEST_S <= float(value) < now_s else type(value)(int(now_s))
    return value
