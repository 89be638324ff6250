"""Values that are left out because they are corrupt."""

from typing import Final

from trainer.reading.pipelines import CorruptValueError

SHOWN: Final = 5
"""How many are shown; more of the same would add nothing."""
MOST_SHARE: Final = 0.01
"""If more are corrupt, the fault is in what reads or writes them, not in the values."""
_MOST_SHOWN: Final = 60
"""Characters of a value: it may be of any length."""


def shown(value: str | bytes) -> str:
    """Return a value as a person can read it, cut if it is long.

    >>> shown(b"seven"), shown("x" * 61)[-5:]
    ("'seven'", "xxx'…")
    """
    text = value if isinstance(value, str) else value.decode(errors="replace")
    return repr(text[:_MOST_SHOWN]) + "…" * (len(text) > _MOST_SHOWN)


class Quarantine:
    """Keys that are left out, of the rows of one matrix."""

    def __init__(self) -> None:
        self.n = 0
        """how many"""
        self.shown: list[str] = []
        """`key: problem` of the first ones"""
        self._first: tuple[str, str] | None = None

    def add(self, key: str, problem: str) -> None:
        """Leave a key out."""
        self._first = self._first or (key, problem)
        self.n += 1
        if len(self.shown) < SHOWN:
            self.shown.append(f"{key}: {problem}")

    def check(self, of: int) -> None:
        """Tolerate a few corrupt values.

        Args:
            of: how many keys there are.

        Raises:
            CorruptValueError: too many are.
        """
        if self._first and self.n > max(SHOWN, MOST_SHARE * of):
            key, problem = self._first
            raise CorruptValueError(
                key, f"{problem}, and {self.n - 1:,} more of {of:,} keys are not"
            )
