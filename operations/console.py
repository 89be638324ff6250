"""What the commands print, and how they end on an error that their user can do something about."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Final

import typer
from rich.console import Console
from rich.text import Text

_WIDTH_OF_A_FILE: Final = 160

results: Final = Console() if sys.stdout.isatty() else Console(width=_WIDTH_OF_A_FILE)
messages: Final = Console(stderr=True, soft_wrap=True)


@contextlib.contextmanager
def exit_on(*expected: type[Exception]) -> Iterator[None]:
    """Exit with 1 and a plain message on expected errors."""
    try:
        yield
    except expected as error:
        messages.print(Text.assemble(("error ", "red"), str(error)))
        raise typer.Exit(1) from error
