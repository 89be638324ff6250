"""Generates `web/api/types.d.ts` from the API's description: `python -m tests.web.api_types`.

Its first line has the hash of the OpenAPI document that the rest was made of, so that a test can
tell without Node whether it is up to date. Regenerating it takes Node and `npm ci` in `web`.
"""

import hashlib
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from api.app import create_app
from api.settings import ApiSettings

WEB: Final = Path(__file__).parents[2] / "web"
TYPES: Final = WEB / "api/types.d.ts"
_GENERATOR: Final = WEB / "node_modules/.bin/openapi-typescript"


def document() -> str:
    """Return the OpenAPI document of an API without settings, always in the same form."""
    return json.dumps(create_app(ApiSettings()).openapi(), sort_keys=True)


def first_line(openapi: str) -> str:
    """Return the line that says what types are made of."""
    return f"// Made by `make web-types` of OpenAPI {hashlib.sha256(openapi.encode()).hexdigest()}"


def write() -> None:
    """Regenerate the types."""
    openapi = document()
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(openapi)
        file.flush()
        made = subprocess.run([_GENERATOR, file.name], capture_output=True, text=True, check=True)
    TYPES.write_text(f"{first_line(openapi)}\n{made.stdout}", encoding="utf-8")


if __name__ == "__main__":
    write()
