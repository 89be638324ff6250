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


async def lengths_of_pages(client: httpx.AsyncClient, whole: list[Any], **query: Any) -> list[int]:
    """Check that pages joined are the whole, either way; return the lengths of all but the last."""
    lengths = []
    for sort, expected in (("asc", whole), ("desc", whole[::-1])):
        found = [page["bars"] for page in await pages(client, **query, sort=sort)]
        assert [bar for page in found for bar in page] == expected, sort
        lengths.append([len(page) for page in found])
    return lengths[0][:-1] + lengths[1][:-1]
