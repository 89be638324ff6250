"""How long tests wait for a condition: long enough that only a defect makes them give up."""

from typing import Final

import httpx

PATIENCE_S: Final = 180.0


def answers(url: str) -> bool:
    """Return whether a URL can be read; nobody may be there."""
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False
