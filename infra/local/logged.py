"""What a program's log warns of, as text."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

_ALARMING: Final = ("warning", "error", "critical")


class _Level(msgspec.Struct):
    level: str


class _Line(msgspec.Struct):
    """A line as `runtime.logs` writes it."""

    message: str
    log: _Level
    tickrec: Mapping[str, Any] = {}

    @property
    def warning(self) -> str:
        """All of it as text, empty if nothing is wrong."""
        particulars = (f"{name} {value}" for name, value in self.tickrec.items())
        return ": ".join([self.message, *particulars]) if self.log.level in _ALARMING else ""


_line: Final = msgspec.json.Decoder(_Line)


def warnings(log: Path) -> list[str]:
    """Return each warning and each error in a program's log once, none with `LOG_FORMAT=text`."""
    lines = (_parsed(text) for text in _texts(log))
    return list(dict.fromkeys(line.warning for line in lines if line and line.warning))


def last_words(log: Path) -> str:
    """Return the latest line of a log that is a warning, an error, or not JSON; empty if none."""
    for text in reversed(_texts(log)):
        line = _parsed(text)
        if said := line.warning if line else text.strip():
            return said
    return ""


def _texts(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines() if log.exists() else []


def _parsed(text: str) -> _Line | None:
    try:
        return _line.decode(text)
    except msgspec.MsgspecError:
        return None
