"""Requests to one API: a pool of connections, the key, timeouts, retries and ETags."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import httpx
import msgspec

from tickrec_client.problems import TickrecError
from tickrec_client.requests import (
    KEPT_ANSWERS,
    LISTENING,
    POOL,
    TIMEOUT,
    Page,
    given,
    json_of,
    query_of,
)
from tickrec_client.retries import REPEATABLE, MayRetry, Tries, keyed

T = TypeVar("T")
P = TypeVar("P", bound=Page)


async def pages(page_after: Callable[[str | None], Awaitable[P]]) -> AsyncIterator[P]:
    """Yield all pages; `page_after` asks for the one that a token names, None for the first."""
    page = await page_after(None)
    yield page
    while page.next_page_token is not None:
        page = await page_after(page.next_page_token)
        yield page


class AsyncConnection:
    """Sends requests, and decodes answers; every method raises TickrecError and httpx's errors."""

    def __init__(self, url: str, api_key: str) -> None:
        headers = {"X-API-Key": api_key} if api_key else {}
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT, limits=POOL)
        self._kept: dict[httpx.URL, httpx.Response] = {}

    async def get(self, kind: type[T], path: str, query: Mapping[str, Any] | None = None) -> T:
        """Read, and let the API say 304 if its answer is the one that is kept here."""
        request = self._http.build_request("GET", path, params=query_of(query or {}))
        kept = self._kept.get(request.url)
        if kept is not None:
            request.headers["If-None-Match"] = kept.headers["ETag"]
        answer = await self._retried(REPEATABLE, request)
        if kept is not None and answer.status_code == httpx.codes.NOT_MODIFIED:
            answer = kept
        elif "ETag" in answer.headers:
            self._keep(request.url, answer)
        return msgspec.json.decode(answer.content, type=kind)

    def all_pages(self, kind: type[P], path: str, query: Mapping[str, Any]) -> AsyncIterator[P]:
        """Yield all pages of what is not read again: these answers are not kept."""

        async def page_after(token: str | None) -> P:
            params = query_of({**query, **given(page_token=token)})
            answer = await self._retried(
                REPEATABLE, self._http.build_request("GET", path, params=params)
            )
            return msgspec.json.decode(answer.content, type=kind)

        return pages(page_after)

    async def ask(self, kind: type[T], method: str, path: str, body: object = None) -> T:
        """Send what does the same when it is done twice: a read by a body, or an erasure."""
        request = self._http.build_request(method, path, **json_of(body))
        answer = await self._retried(REPEATABLE, request)
        return msgspec.json.decode(answer.content, type=kind)

    async def publish(
        self, kind: type[T], method: str, path: str, body: object, key: str | None
    ) -> T:
        """Write to Kafka once, with an `Idempotency-Key`: a random one if none is given."""
        request = self._http.build_request(method, path, **json_of(body))
        request.headers["Idempotency-Key"] = key or str(uuid.uuid4())
        answer = await self._retried(keyed, request)
        return msgspec.json.decode(answer.content, type=kind)

    async def lines(self, path: str, query: Mapping[str, Any]) -> AsyncGenerator[str]:
        """Yield the lines of an answer as they come, for as long as they do."""
        async with self._http.stream(
            "GET", path, params=query_of(query), timeout=LISTENING
        ) as answer:
            if answer.is_error:
                await answer.aread()
                raise TickrecError(answer)
            async for line in answer.aiter_lines():
                yield line

    def websocket(self) -> tuple[str, dict[str, str]]:
        """Return the address of the WebSocket, and the headers that open it."""
        key = self._http.headers.get("X-API-Key")
        base = self._http.base_url
        scheme = "wss" if base.scheme == "https" else "ws"
        url = base.copy_with(scheme=scheme, path=f"{base.path.rstrip('/')}/v1/stream")
        return str(url), {} if key is None else {"X-API-Key": key}

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _retried(self, may_retry: MayRetry, request: httpx.Request) -> httpx.Response:
        tries = Tries(may_retry)
        while True:
            try:
                return await self._send(request)
            except (TickrecError, httpx.TransportError) as error:
                pause_s = tries.pause_s(error)
            await asyncio.sleep(pause_s)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        answer = await self._http.send(request)
        if answer.is_error:
            raise TickrecError(answer)
        return answer

    def _keep(self, url: httpx.URL, answer: httpx.Response) -> None:
        if len(self._kept) >= KEPT_ANSWERS:
            self._kept.clear()
        self._kept[url] = answer
