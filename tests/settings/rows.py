"""What a row of the matrix is: a setting of some programs, a value, and the stack of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal

from pydantic_settings import BaseSettings

from api.settings import ApiSettings
from producers.settings import ProducerSettings
from stream_processors.settings import Settings as WorkerSettings
from trainer.settings import TrainerSettings

if TYPE_CHECKING:
    from tests.settings.stack import Stack

Program = Literal["producers", "workers", "trainer", "api"]
SETTINGS: Final[Mapping[Program, type[BaseSettings]]] = {
    "producers": ProducerSettings,
    "workers": WorkerSettings,
    "trainer": TrainerSettings,
    "api": ApiSettings,
}
ALL: Final[tuple[Program, ...]] = tuple(SETTINGS)
OF_ARCHIVE: Final = "archive_"
"""How the settings begin that say where the archive is. They are documented in docs/archive.md, and
`tests.archive.test_settings` looks at them: the stacks here have none."""


class Given(Enum):
    """A value that only the run knows."""

    BROKER = "the broker's address"
    BROKERS = "an address that nobody listens at, and the broker's"
    SECURED = "the address at which the broker's users log in, encrypted"
    OPEN = "the address at which they log in, not encrypted"
    MUTUAL = "the address at which they show a certificate"
    AUTHORITY = "file of the authority of the broker's certificate"
    CERTIFICATE = "file of the program's certificate"
    KEY = "file of its key"
    PASSWORD = "of the program's user"
    TOKENS = "URL of an identity provider's token endpoint"
    NODE = "URL of a single node"
    DATABASE = "URL of another database of it"
    CLUSTER = "URL of a node of a cluster"
    FRESH = "a fresh name"
    PORT = "a free port"


@dataclass(frozen=True, slots=True)
class File:
    """A value that is the path of a file with this text."""

    text: str


Value = str | File | Given | None
"""As in the environment; None: not set, so that the default holds."""


def disturbing(check: Callable[[Stack, Row], None]) -> Callable[[Stack, Row], None]:
    """Mark a check that comes after the others of its stack, as other lists may be served then."""
    check.comes_last = True  # type: ignore[attr-defined]
    return check


@dataclass(frozen=True, slots=True)
class Row:
    """One value of a setting, which stands in the environment of some programs of a stack."""

    setting: str
    programs: tuple[Program, ...]
    value: Value
    stack: str
    seen: Callable[[Stack, Row], None] | None
    """fails unless the stack's answers show that the value is in force; None: another row's does"""

    def __str__(self) -> str:
        shown = {None: "default"}.get(self.value, self.value)  # type: ignore[call-overload]
        if isinstance(shown, Given | File):
            shown = shown.name if isinstance(shown, Given) else "file"
        of = "" if self.programs == ALL else f"{'+'.join(self.programs)}-"
        return f"{self.stack}-{of}{self.setting}={shown}"


def rows(
    setting: str,
    programs: Program | tuple[Program, ...],
    values: Mapping[Value, str],
    seen: Callable[[Stack, Row], None] | None = None,
) -> Iterator[Row]:
    """Yield a row for each value, and for each of the stacks, named in one text, that it is of."""
    some = (programs,) if isinstance(programs, str) else programs
    for value, stacks in values.items():
        for stack in stacks.split():
            yield Row(setting, some, value, stack, seen)
