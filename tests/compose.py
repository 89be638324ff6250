"""Reads the services of docker-compose.yml."""

import re
from pathlib import Path
from typing import Any, Final

import yaml

_FILE: Final = Path(__file__).parents[1] / "docker-compose.yml"
COMPOSE: Final[dict[str, Any]] = yaml.safe_load(_FILE.read_text())
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]


def filled_in(text: str, **given: str) -> str:
    """Fill in `${NAME:-default}` and `${NAME:+if set}` as Compose does with what is set outside."""
    text = re.sub(r"\$\{(\w+):-(.*?)\}", lambda found: given.get(found[1]) or found[2], text)
    return re.sub(
        r"\$\{(\w+):\+(.*?)\}", lambda found: found[2] if given.get(found[1]) else "", text
    )
