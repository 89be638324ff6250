"""The OpenAPI document has what generators of clients need, of every operation.

That no answer has an undeclared status is checked for all answers to the tests: `.described`.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from api.app import create_app
from api.http.endpoint import Table
from api.http.limits import WATCHED
from api.http.reply import encode
from api.settings import ApiSettings

APP: Final = create_app(ApiSettings())
TABLE: Final[Table] = APP.state.table
DOCUMENT: Final = APP.openapi()


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, of_path in DOCUMENT["paths"].items():
        for operation in of_path.values():
            yield path, operation


def titles_in(described: Any) -> Iterator[str]:
    """Yield the titles of all schemas that are written out."""
    if isinstance(described, dict):
        if isinstance(described.get("title"), str):
            yield described["title"]
        described = list(described.values())
    if isinstance(described, list):
        for each in described:
            yield from titles_in(each)


def test_an_operation_has_the_unique_short_name_of_its_endpoint() -> None:
    names = [operation["operationId"] for _, operation in operations()]
    assert sorted(names) == sorted(endpoint.name for endpoint in TABLE)
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z_]{3,24}", name)] == []


def test_a_schema_in_a_body_has_a_title_that_no_other_has() -> None:
    bodies = [
        operation["requestBody"] for _, operation in operations() if "requestBody" in operation
    ]
    titles = [*titles_in(bodies), *DOCUMENT["components"]["schemas"]]
    assert [title for title, n in Counter(titles).items() if n > 1] == []


def test_every_operation_declares_what_can_happen_and_when_to_cache_it_or_try_again() -> None:
    for endpoint in TABLE:
        operation = DOCUMENT["paths"][endpoint.path][endpoint.method.lower()]
        expected = {"400", "421", "500"} | (set() if endpoint.path in WATCHED else {"503"})
        expected |= {"401", "403", "429"} if endpoint.scope else set()
        expected |= {"422"} if endpoint.parameters else set()
        body = operation.get("requestBody", {"content": {}})["content"]
        expected |= {"408", "413", "415", "422"} if body else set()
        expected |= {"304"} if "ETag" in endpoint.success.headers else set()
        assert expected <= operation["responses"].keys(), endpoint
        for status, answer in operation["responses"].items():
            headers = {"Cache-Control"} if status >= "400" else set()
            headers |= {"429": {"Retry-After"}, "503": {"Retry-After"}}.get(status, set())
            headers |= {"WWW-Authenticate"} if status == "401" else set()
            assert all(answer["headers"][name]["required"] for name in headers), endpoint


def test_every_answer_and_problem_has_an_example() -> None:
    assert {*DOCUMENT["paths"]} == {endpoint.path for endpoint in TABLE}
    for path, operation in operations():
        for status, answer in operation["responses"].items():
            for kind, content in answer.get("content", {}).items():
                assert content.keys() & {"example", "examples"}, (path, status, kind)


def test_examples_are_of_the_types_that_they_stand_for() -> None:
    for endpoint in TABLE:
        success = endpoint.success
        if success.kind is not None:
            body = encode(success.example)
            found = msgspec.json.decode(body, type=success.kind)
            assert msgspec.to_builtins(found) == msgspec.json.decode(body), endpoint


def test_an_operation_names_the_scope_of_its_key_which_is_needed_if_the_server_has_keys() -> None:
    keyed = create_app(ApiSettings(api_keys="k")).openapi()["paths"]
    for endpoint in TABLE:
        needed = [{"key": [endpoint.scope]}, {"bearer": [endpoint.scope]}]
        optional = [*needed, {}]
        expected = [optional if endpoint.needs_scope else needed, optional]
        for of, security in zip((keyed, DOCUMENT["paths"]), expected, strict=True):
            found = of[endpoint.path][endpoint.method.lower()].get("security")
            assert found == (security if endpoint.scope else None)


def test_what_names_a_user_or_changes_anything_needs_a_scope() -> None:
    for endpoint in TABLE:
        if endpoint.path == "/v1/recommendations":  # for a list of items, without a user
            continue
        if "user" in endpoint.path or endpoint.method != "GET":
            assert endpoint.scope is not None
        if endpoint.method in ("PUT", "DELETE"):
            assert endpoint.scope == "admin"
