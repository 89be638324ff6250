"""`python -m infra.sdk`: run the smoke of a stack with clients generated from its OpenAPI document.

`make smoke` runs the same with `clients/python`.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any, Final

import httpx
from rich.console import Console

from infra.local.asking import Ask, Question
from infra.local.commands import smoke
from infra.local.maven import NoJarsError
from infra.local.paths import HOME
from infra.local.stack import Options
from infra.local.subjects import Subjects
from infra.sdk.asking import asking
from infra.sdk.calls import call_of
from infra.sdk.generating import (
    GeneratedWrongError,
    python_client,
    typescript_client,
    without_files,
)


def by_python(
    client: httpx.Client, _: Subjects, document: Mapping[str, Any], __: Sequence[Question]
) -> AbstractContextManager[Ask]:
    """Ask with what openapi-python-client generates."""
    known = without_files(document)

    def line_of(question: Question) -> str | None:
        call = call_of(question, known)
        return None if call is None else json.dumps(asdict(call))

    return asking(python_client(known), client, line_of)


def by_typescript(
    client: httpx.Client, _: Subjects, document: Mapping[str, Any], asked: Sequence[Question]
) -> AbstractContextManager[Ask]:
    """Ask with what openapi-generator generates."""
    calls = [call_of(question, document) for question in asked]

    def line_of(question: Question) -> str | None:
        place = asked.index(question)
        return None if calls[place] is None else str(place)

    return asking(typescript_client(document, calls), client, line_of)


CLIENTS: Final[Mapping[str, Callable[..., AbstractContextManager[Ask]]]] = {
    "openapi-python-client": by_python,
    "openapi-generator": by_typescript,
}


def main(console: Console) -> int:
    """Return 0 if both clients got all answers as they should be."""
    well = []
    options = Options(api_port=0, canaries=True)
    for name, by_client in CLIENTS.items():
        console.print(f"[bold]{name}[/]")
        try:
            well.append(smoke(console, HOME / "sdk", options, by_client))
        except (GeneratedWrongError, NoJarsError) as error:
            console.print(f"[red]✗[/] {error}", soft_wrap=True)
            well.append(False)
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main(Console()))
