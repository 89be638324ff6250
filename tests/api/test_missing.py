"""Each endpoint says what is missing: its path, its subject, or a model."""

from typing import Any, Final

import httpx

from tests.cases import each

from .problems import problem

NO_INSTRUMENT: Final = [
    *("/instruments/4", "/v1/instruments/4", "/v1/instruments/4/bars"),
    "/v1/instruments/4/bars?interval=1h&limit=1000",
]
NO_SYMBOL: Final = [
    *(f"/v1/instruments/XYZ{what}" for what in ("", "/bars", "/similar")),
    "/v1/stream/bars?instruments=XYZ",
]
NO_MODEL: Final[list[tuple[str, str, Any]]] = [
    ("GET", "/v1/models", None),
    ("GET", "/v1/experiments", None),
    ("GET", "/v1/instruments/4/similar", None),
    ("GET", "/v1/users/ABC/recommendations", None),
    ("POST", "/v1/recommendations", {"items": [{"instrument_id": 1}]}),
    ("POST", "/v1/recommendations/batch", {"user_ids": ["ABC", "ABD"]}),
]


@each(
    ("target", "kind"),
    [
        *((target, "not-found") for target in ("/nowhere", "/v1/instrument/4")),
        *((target, "unknown-instrument") for target in (*NO_INSTRUMENT, *NO_SYMBOL)),
        *((f"/v1/users/nobody/{what}", "unknown-user") for what in ("history", "export")),
    ],
)
async def test_what_is_not_there_is_a_problem_that_names_it(
    client: httpx.AsyncClient, target: str, kind: str
) -> None:
    answer = await client.get(target)
    assert problem(answer) == (404, kind)
    members = {"type", "title", "status", "detail", "instance", "request_id"}
    assert answer.json().keys() == members
    assert answer.json()["instance"] == target.partition("?")[0]
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]
    assert ("'XYZ'" in answer.json()["detail"]) == ("XYZ" in target)


@each(("method", "path", "body"), NO_MODEL)
async def test_before_the_first_model_the_client_is_asked_to_retry(
    client: httpx.AsyncClient, method: str, path: str, body: Any
) -> None:
    answer = await client.request(method, path, json=body)
    assert problem(answer) == (404, "no-model-yet")
    assert int(answer.headers["retry-after"]) > 0
