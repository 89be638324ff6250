"""What the routes work with: made once, in the lifespan, and handed to each of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypedDict

from fastapi import Depends, Request, Response

from api.answering import Answering
from api.hot.serving import Serving
from api.live.bars import LiveBars
from api.metrics import Metrics
from api.publisher import Publisher
from api.redis.reading import Read
from api.replies import Reply, conditional, joined, response
from api.request_ids import RequestIds
from api.settings import ApiSettings
from api.store import Store


@dataclass(frozen=True, slots=True)
class Services:
    """The clients and the clock of one server."""

    settings: ApiSettings
    store: Store
    answering: Answering
    request_ids: RequestIds
    publisher: Publisher
    live: LiveBars
    metrics: Metrics
    now_ms: Callable[[], int]

    async def respond(self, request: Request, read: Read[Reply]) -> Response:
        """Return the answer that a read comes to, as an ordinary route sends it.

        Raises:
            Exception: whatever the read raises, and `StoreUnavailableError`.
        """
        if_none_match = joined(
            value.encode("latin-1") for value in request.headers.getlist("if-none-match")
        )
        return response(conditional(await self.store.answer(read), if_none_match))


class State(TypedDict):
    """The state of the lifespan, which each request carries."""

    services: Services
    serving: Serving


async def _of_request(request: Request) -> Services:
    services: Services = request.state.services
    return services


ServicesDep = Annotated[Services, Depends(_of_request)]
