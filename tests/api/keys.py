"""Files of API keys, as tests write them: the text of a key is its name."""

import hashlib
import json
from pathlib import Path
from typing import Any


def entry(name: str, **fields: Any) -> dict[str, Any]:
    """Return an entry, by default of a key that reads and writes."""
    return {
        "name": name,
        "sha256": hashlib.sha256(name.encode()).hexdigest(),
        "scopes": ["read", "write"],
        "created": "2026-11-26T09:00:00Z",
        **fields,
    }


def write_keys(path: Path, *entries: dict[str, Any]) -> Path:
    """Replace a file atomically, as its writers do, and return its path."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(entries))
    return part.replace(path)
