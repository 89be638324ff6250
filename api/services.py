"""What the routes work with: made once, in the lifespan, and handed to each of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypedDict

from fastapi import Depends, Request

from api.metrics import Metrics
from api.publisher import Publisher
from api.settings import ApiSettings
from api.store import Store


@dataclass(frozen=True, slots=True)
class Services:
    """The clients and the clock of one server."""

    settings: ApiSettings
    store: Store
    publisher: Publisher
    metrics: Metrics
    now_ms: Callable[[], int]


class State(TypedDict):
    """The state of the lifespan, which each request carries."""

    services: Services


async def _of_request(request: Request) -> Services:
    services: Services = request.state.services
    return services


ServicesDep = Annotated[Services, Depends(_of_request)]
