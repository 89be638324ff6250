"""A copy is refreshed periodically, whatever happens in between."""

import asyncio
from collections.abc import Iterator

import pytest

from api.redis.following import following
from api.redis.store import StoreUnavailableError
from tests.patience import PATIENCE_S


@pytest.mark.parametrize(
    ("error", "said"),
    [(StoreUnavailableError("away"), []), (ValueError("no price"), ["ValueError: no price"])],
)
async def test_a_copy_that_could_not_be_read_is_read_again(
    error: Exception, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    outcomes: Iterator[Exception | None] = iter([error, None, error])
    read_again = asyncio.Event()

    async def refresh() -> None:
        outcome = next(outcomes, None)
        if outcome is not None:
            raise outcome
        read_again.set()

    async with following("prices", refresh, lambda: 0.0):
        async with asyncio.timeout(PATIENCE_S):
            await read_again.wait()
    logged = [record for record in caplog.records if record.exc_info]
    assert [f"{type(r.exc_info[1]).__name__}: {r.exc_info[1]}" for r in logged][:1] == said
    assert all(record.getMessage().startswith("prices: ") for record in logged)
