"""Ids that cannot be part of a path are rejected by every endpoint alike."""

from typing import Any

import httpx
import pytest

from tests.cases import each
from tests.contracts.test_messages import UNREACHABLE

from .problems import refused_fields

EVENT = {"type": "interaction", "instrument_id": 4, "ts": 1629061628123}
REQUEST_ID = "default.20210815T211000Z-7.history.BAA.Jq3xT0mBzv9cWd2LrK5uYAbRqW9nT2xYc0LmVd8sKfPA"
SEEN = {"type": "click", "request_id": REQUEST_ID, "instrument_id": 4, "position": 1}
LEGACY = {"price": "10.273", "timestamp": "1629061628", "instrid": 4}


@each("user_id", UNREACHABLE)
async def test_no_door_takes_a_user_id_that_no_path_can_name(
    client: httpx.AsyncClient, user_id: str
) -> None:
    bodies: list[tuple[str, dict[str, Any], str]] = [
        ("/v1/events", EVENT | {"user_id": user_id}, "user_id"),
        ("/v1/feedback", SEEN | {"user_id": user_id}, "user_id"),
        ("/add/request", LEGACY | {"userid": user_id}, "userid"),
        ("/v1/recommendations/batch", {"user_ids": [user_id]}, "user_ids[0]"),
    ]
    for path, body, field in bodies:
        answer = await client.post(path, json=body)
        assert refused_fields(answer) == [field]


@pytest.mark.parametrize("symbol", ["..", "GELA/bars", "GELA/Similar", "A//B", "A/"])
async def test_no_symbol_takes_the_path_of_another_resource(
    client: httpx.AsyncClient, symbol: str
) -> None:
    answer = await client.put("/v1/instruments/4", json={"symbol": symbol, "name": "Gela"})
    assert refused_fields(answer) == ["symbol"]
