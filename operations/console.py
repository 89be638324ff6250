"""How a command ends on an error that its user can do something about."""

import contextlib
from collections.abc import Iterator

import typer
from rich.console import Console
from rich.text import Text


@contextlib.contextmanager
def refusing(*expected: type[Exception]) -> Iterator[None]:
    """Exit with 1 and a plain message on expected errors."""
    try:
        yield
    except expected as refused:
        Console(stderr=True, soft_wrap=True).print(Text.assemble(("error ", "red"), str(refused)))
        raise typer.Exit(1) from refused
