"""`python -m infra.sdk`: start a stack, and run a smoke with generated clients.

They are made from the stack's own OpenAPI document. `make smoke` asks with `clients/python`.
"""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console

from contracts.keyspace import Keyspace
from infra.local import show
from infra.local.asking import connect_api
from infra.local.maven import NoJarsError
from infra.local.paths import HOME
from infra.local.run import Running, running_stack
from infra.local.stack import Options
from infra.local.subjects import Subjects
from infra.local.tour import await_subjects
from infra.sdk.generating import (
    FOLDER,
    PYTHON,
    GeneratedWrongError,
    python_client,
    typescript_client,
)
from runtime.redis.stores import connect

_CLIENT_NAME: Final = "tickrec-sdk"


def main(console: Console) -> int:
    """Return 0 if both clients did what they should."""
    options = Options(api_port=0)
    with running_stack(HOME / "sdk", options, partial(show.step, console)) as running:
        with connect_api(running.stack.api_url) as api:
            subjects = _subjects(running, api)
            document = FOLDER / "openapi.json"
            document.write_bytes(api.get("/openapi.json").raise_for_status().content)
        try:
            smokes = _smokes(document)
        except (GeneratedWrongError, NoJarsError) as error:
            console.print(f"[red]✗[/] {error}", soft_wrap=True)
            return 1
        given = (running.stack.api_url, str(subjects.instrument_id), subjects.user_id)
        return max(_ran(console, name, *argv, *given) for name, argv in smokes.items())


def _subjects(running: Running, api: httpx.Client) -> Subjects:
    stack = running.stack
    with connect(stack.store.address, _CLIENT_NAME) as store:
        keyspace = Keyspace(stack.namespace)
        return await_subjects(running.pause, keyspace, store, api, str(running.folder))


def _smokes(document: Path) -> dict[str, tuple[str, ...]]:
    """Return the smoke of each client, which takes an address, an instrument and a user."""
    return {
        "openapi-python-client": (str(PYTHON), str(python_client(document) / "smoke.py")),
        "openapi-generator": ("node", str(typescript_client(document) / "smoke.js")),
    }


def _ran(console: Console, name: str, *argv: str) -> int:
    console.print(f"[bold]{name}[/]")
    ended = subprocess.run(argv, capture_output=True, text=True, check=False)
    console.print(ended.stdout + ended.stderr, end="", markup=False, soft_wrap=True)
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main(Console()))
