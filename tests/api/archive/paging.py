"""Asks for bars, page by page."""

from typing import Any, Final

import httpx

from .market import INSTRUMENT

PATH: Final = f"/v1/instruments/{INSTRUMENT}/bars"


async def ask(client: httpx.AsyncClient, path: str = PATH, **query: Any) -> Any:
    """Return an answer that is no problem."""
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def pages(client: httpx.AsyncClient, path: str = PATH, **query: Any) -> list[Any]:
    """Return an answer and all that continue it."""
    found = [await ask(client, path, **query)]
    while token := found[-1]["next_page_token"]:
        found.append(await ask(client, path, **query, page_token=token))
    return found


async def bars_of_pages(client: httpx.AsyncClient, **query: Any) -> list[list[Any]]:
    """Return the bars of each page."""
    return [page["bars"] for page in await pages(client, **query)]
