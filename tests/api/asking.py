"""Asks for lists of items, by parameters or by a body, and reads answers."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx

from tests.patience import until_true

BASKET: Final = "/v1/recommendations"
BATCH: Final = "/v1/recommendations/batch"
BODIES: Final[dict[str, dict[str, Any]]] = {
    BASKET: {"items": [{"instrument_id": 4}]},
    BATCH: {"user_ids": ["ABC"]},
}
"""What is asked for if a test says nothing else."""


def of_user(user: str) -> str:
    """Return the path of a user's recommendations."""
    return f"/v1/users/{user}/recommendations"


async def answered(client: httpx.AsyncClient, path: str, **fields: Any) -> dict[str, Any]:
    """Return an answer with items; of a batch, that of its first user."""
    if path in BODIES:
        answer = await client.post(path, json=BODIES[path] | fields)
    else:
        answer = await client.get(path, params=fields or None)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found["recommendations"][0] if path == BATCH else found


async def items_of(client: httpx.AsyncClient, path: str, **fields: Any) -> list[dict[str, Any]]:
    """Return the items of an answer."""
    items: list[dict[str, Any]] = (await answered(client, path, **fields))["items"]
    return items


async def ids_of(client: httpx.AsyncClient, path: str, **fields: Any) -> list[int]:
    """Return the ids of the items of an answer."""
    return [item["instrument_id"] for item in await items_of(client, path, **fields)]


async def sources_of(
    client: httpx.AsyncClient, path: str, **fields: Any
) -> list[tuple[int, str | None]]:
    """Return the items of an answer, each with its own source."""
    items = await items_of(client, path, **fields)
    return [(item["instrument_id"], item.get("source")) for item in items]


async def source_and_ids(
    client: httpx.AsyncClient, path: str, **fields: Any
) -> tuple[str, list[int]]:
    """Return the source of an answer and the ids of its items."""
    answer = await answered(client, path, **fields)
    return answer["source"], [item["instrument_id"] for item in answer["items"]]


@until_true
async def answers(client: httpx.AsyncClient, path: str, **fields: Any) -> dict[str, Any]:
    """Return the first answer that is 200: the catalog and others are read soon after the start."""
    return await answered(client, path, **fields)


@until_true
async def becomes(
    expected: object, ask: Callable[..., Awaitable[object]], *given: Any, **fields: Any
) -> None:
    """Wait until the answer to a question is the expected one."""
    found = await ask(*given, **fields)
    assert found == expected, f"{found!r}, not {expected!r}"  # pytest rewrites no helper's


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Return its status and the last part of its type."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert answer.json()["status"] == answer.status_code
    return answer.status_code, slug(answer)


def slug(answer: httpx.Response) -> str:
    """Return the last part of its type."""
    kind: str = answer.json()["type"]
    return kind.removeprefix("urn:tickrec:problem:")


def refused_fields(answer: httpx.Response) -> list[str]:
    """Return the fields that break a rule; the answer must be 422."""
    assert answer.status_code == 422, answer.text
    return [error["field"] for error in answer.json()["errors"]]
