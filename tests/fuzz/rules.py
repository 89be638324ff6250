"""Hooks of schemathesis: five rules for requests that JSON Schema cannot express.

A user's id is bounded in bytes, an event must not be ahead of the server's clock, an integer is
written as one (4.0 is not), a page token is one that was issued, and a condition is on an attribute
of the catalog. In requests generated to be
valid, values that violate these rules are adjusted or left out.
"""

import time
from typing import Any, Final

import schemathesis
from schemathesis import Case, HookContext

from contracts.messages import MAX_USER_ID_BYTES

_USERS: Final = frozenset({"user_id", "user_ids", "userid", "similar_to"})
_WHOLE: Final = frozenset({"ts", "instrument_id", "instrid", "position", "exclude", "n"})
_CONDITIONS: Final = {"filter": "currency:eq:USD", "boost": "lot:ge:50:2"}
"""Of the catalog that is served."""


schemathesis.serializer.alias(["application/x-ndjson", "application/jsonl"], "text/plain")


@schemathesis.hook
def map_case(context: HookContext, case: Case) -> Case:
    if case.meta is not None and case.meta.generation.mode.is_positive:
        case.body = _bent(case.body, time.time())
        case.path_parameters = _bent(case.path_parameters, time.time())
        if case.query:
            query = {name: case.query[name] for name in case.query if name != "page_token"}
            case.query = {
                name: _bent_field(name, value, 0) if name in _CONDITIONS else value
                for name, value in query.items()
            }
    return case


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
        return value.encode()[:MAX_USER_ID_BYTES].decode(errors="ignore")
    if name in _CONDITIONS:
        return _CONDITIONS[name]
    if name in _WHOLE and isinstance(value, float):
        value = int(value)
    if name == "ts" and isinstance(value, int):
        return min(value, int(now_s * 1000))
    if name == "timestamp" and isinstance(value, int | float | str):
        return value if float(value) < now_s else type(value)(int(now_s))
    return value
