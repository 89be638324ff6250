"""An endpoint, declared once: its routes, validation, access and description derive from it.

Each subject's package declares its own; `api.app` combines them into one table. A read takes one of
two paths: the framework's (`api.http.routing`) or, for plain GETs of hot endpoints, the one in
front of it (`api.hot`). Both admit requests by `api.http.keys.access` and parse parameters by
`Endpoint.values`.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, Literal
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from api.http.parameters import REQUIRED, Parameter, Schema
from api.http.problems import INVALID_REQUEST, Problem, ProblemType
from api.http.reply import Reply, ToCsv
from api.redis.reading import Read, then

Scope = Literal["read:users", "read:recommendations", "read:pipeline", "write", "admin"]
"""What an endpoint may require of a key."""

_IN_PATH: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, kw_only=True)
class Success:
    """The successful answer of an endpoint."""

    kind: Any
    """the type of the body; None if it is not JSON"""
    example: Any
    status: int = 200
    media_type: str = "application/json"
    """empty: there is no body"""
    schema: Schema | None = None
    """of a body that is not JSON"""
    headers: tuple[str, ...] = ()
    """headers that clients may rely on"""
    to_csv: ToCsv | None = None
    """makes it for clients that prefer CSV; None: there is none"""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """What all endpoints have."""

    name: str
    """unique, and stable: the description's `operationId`, and the method of generated clients"""
    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    path: str
    """`/v1/instruments/{instrument_id}/bars`: each name is a parameter"""
    tag: str
    summary: str
    description: str
    parameters: tuple[Parameter, ...] = ()
    success: Success
    problems: Mapping[ProblemType, str]
    """those that it may answer, each with an example of a detail"""
    scope: Scope | None = None
    """the scope that a key needs, if keys are set up; None: it is open to all"""
    needs_scope: Callable[..., bool] | None = None
    """returns whether it needs the scope, from the parameters, given by name; None: always"""
    cost: int = 1
    """reads that a request takes of the quota of its key, if it has one; 0: it takes events"""
    in_path: frozenset[str] = field(init=False)
    """the names of the parameters in the path"""
    may_have_slashes: bool = field(init=False)
    """whether these may contain slashes"""
    _by_name: dict[str, Parameter] = field(init=False, repr=False)
    _defaults: dict[str, Any] = field(init=False, repr=False)
    """the defaults of optional parameters"""

    def __post_init__(self) -> None:
        in_path = frozenset(_IN_PATH.findall(self.path))
        slashes = any(p.may_have_slashes for p in self.parameters if p.name in in_path)
        object.__setattr__(self, "in_path", in_path)
        object.__setattr__(self, "may_have_slashes", slashes)
        by_name = {parameter.name: parameter for parameter in self.parameters}
        object.__setattr__(self, "_by_name", by_name)
        defaults = {p.name: p.default for p in self.parameters if p.default is not REQUIRED}
        object.__setattr__(self, "_defaults", defaults)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def values(self, of_path: Mapping[str, str], query: str) -> dict[str, Any]:
        """Return the values of all parameters.

        Args:
            of_path: the decoded parameters in the path.
            query: as received. Of duplicates the last counts, unless the parameter may be given
                several times; then empty texts are ignored.

        Raises:
            Problem: parameters are invalid; it lists all of them.
        """
        given = {**_texts(query), **of_path} if query else of_path
        values = self._defaults.copy()
        wrong: dict[str, str] = {}
        for name, text in given.items():
            parameter = self._by_name.get(name)
            if parameter is None:
                if name and len(wrong) < _MAX_REPORTED:
                    wrong[name[:_NAME_CHARACTERS]] = self._unknown(name)
                continue
            once = parameter.most == 1
            try:
                values[name] = parameter.parse(text) if once else _set_of(parameter, query)
            except ValueError as error:
                rule, part = (*error.args, text)[:2]
                wrong[name] = f"{rule}, not {part!r:.100}" if once else str(error)
        if wrong or len(values) < len(self.parameters):
            missing = dict.fromkeys(self._by_name.keys() - values.keys(), "is missing")
            reasons = missing | wrong
            raise _invalid({name: reasons.get(name) for name in [*self._by_name, *reasons]})
        return values

    def _unknown(self, name: str) -> str:
        """Return the reason to reject a parameter that there is not."""
        known = sorted(self._by_name.keys() - self.in_path)
        nearest = get_close_matches(name, known, 1)
        meant = f", did you mean {nearest[0]}?" if nearest else ","
        return f"is no parameter of this request{meant} known: {', '.join(known) or 'none'}"


@dataclass(frozen=True)
class Rewriting:
    """A parameter whose other value than the default rewrites the finished answer."""

    parameter: Parameter
    rewrite: Callable[[Reply], Reply]


@dataclass(frozen=True, kw_only=True)
class ReadEndpoint(Endpoint):
    """An endpoint whose whole answer is read from Redis."""

    read: Callable[..., Read[Reply]]
    """makes the answer from the parameters, given by name"""
    hot: bool = False
    """whether plain GETs take the path in front of the framework"""
    rewriting: Rewriting | None = None

    def answer(self, values: dict[str, Any]) -> Read[Reply]:
        """Make the answer from the values of all parameters, which are taken over."""
        rewriting = self.rewriting
        if rewriting is None:
            return self.read(**values)
        # Not a function around `read`: passing ten parameters on takes as long as parsing them.
        asked = values.pop(rewriting.parameter.name)
        read = self.read(**values)
        return read if asked == rewriting.parameter.default else then(read, rewriting.rewrite)


@dataclass(frozen=True, kw_only=True)
class ActionEndpoint(Endpoint):
    """An endpoint that writes, waits, or streams."""

    act: Callable[..., Awaitable[Response]]
    """makes the answer from the request and the parameters, given by name"""
    body: Schema | None = None
    """`requestBody` of its description"""
    body_kinds: tuple[Any, ...] = ()
    """the types whose schemas it refers to"""


@dataclass(frozen=True, kw_only=True)
class WriteEndpoint(ActionEndpoint):
    """An endpoint that publishes to Kafka, and at most once for each `Idempotency-Key`."""

    cost: int = 0
    receive: Callable[[Request], Awaitable[bytes]]
    """reads the body, at the cost of what it publishes"""
    act: Callable[..., Awaitable[Response]]
    """makes the answer from the request, its body and the parameters, given by name"""


Table = tuple[Endpoint, ...]

_MAX_REPORTED: Final = 20
_NAME_CHARACTERS: Final = 60


def _invalid(reasons: Mapping[str, str | None]) -> Problem:
    """Return the problem of invalid parameters: a reason for each, or None."""
    errors = [{"field": name, "reason": reason} for name, reason in reasons.items() if reason]
    detail = "; ".join(f"{error['field']}: {error['reason']}" for error in errors)
    return Problem(INVALID_REQUEST, detail, errors=errors)


def _set_of(parameter: Parameter, query: str) -> frozenset[Any]:
    """Return the values of a parameter that may be given several times; ValueError if invalid."""
    pairs = parse_qsl(query, errors="replace")
    texts = [text for name, text in pairs if name == parameter.name]
    if len(texts) > parameter.most:
        raise ValueError(f"must be given at most {parameter.most} times, got {len(texts)}")
    values = set()
    for text in texts:
        try:
            values.add(parameter.parse(text))
        except ValueError as error:
            raise ValueError(f"{error}, not {text!r:.100}") from None
    return frozenset(values)


def _texts(query: str) -> dict[str, str]:
    """Return the parameters of a query; an empty value is a value."""
    if "%" in query or "+" in query:
        return dict(parse_qsl(query, keep_blank_values=True, errors="replace"))
    texts: dict[str, str] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        texts[name] = value
    return texts
