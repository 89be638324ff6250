"""Chooses users and instruments to ask a stack about, from its Redis."""

from dataclasses import dataclass

import httpx
import msgspec

from contracts.generations import DEFAULT_VARIANT, PopularList, decode_current
from contracts.keyspace import Keyspace
from contracts.topics import INTERACTIONS
from runtime.redis.stores import Store


@dataclass(frozen=True, slots=True)
class Subjects:
    """Users and instruments to ask about."""

    instrument_id: int
    """the most popular one"""
    user_id: str
    """one with a history"""
    price: float
    """a recent one of the instrument"""
    request_id: str
    """of a response that recommended `recommended` to the user first"""
    recommended: int


def find_subjects(store: Store, keyspace: Keyspace, client: httpx.Client) -> Subjects | None:
    """Return the subjects, None before the first generation."""
    partitions = range(int(store.hget(keyspace.topics(), INTERACTIONS.name) or 0))
    users = [user for p in partitions if (user := _some_user(store, keyspace.active(p)))]
    generation = served_generation(store, keyspace)
    if not users or generation is None:
        return None
    popular = store.get(keyspace.model_popular(generation))
    items = msgspec.json.decode(popular, type=PopularList).items if popular else []
    for item in items:
        bars = client.get(f"/v1/instruments/{item.item}/bars")
        if bars.is_success and bars.json()["bars"]:
            price = bars.json()["bars"][-1]["c"]
            return _with_feedback(int(item.item), users[0], price, client)
    return None


def _with_feedback(
    instrument_id: int, user_id: str, price: float, client: httpx.Client
) -> Subjects | None:
    """Return the subjects, None while nothing is recommended to the user."""
    answer = client.get(f"/v1/users/{user_id}/recommendations")
    if not answer.is_success or not answer.json()["items"]:
        return None
    found = answer.json()
    first = found["items"][0]["instrument_id"]
    return Subjects(instrument_id, user_id, price, found["request_id"], first)


def _some_user(store: Store, active: str) -> str | None:
    """Return a user whose own list is probably up to date: not one from the last seconds."""
    middle = store.zcard(active) // 2
    return next((str(user) for user in store.zrange(active, middle, middle)), None)


def served_generation(store: Store, keyspace: Keyspace) -> str | None:
    """Return the served generation, None before the first."""
    value = store.get(keyspace.model_current())
    current = decode_current(value)
    served = current.variants.get(DEFAULT_VARIANT) if current else None
    return served.generation if served else None
