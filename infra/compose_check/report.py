"""The check's output: a line per step, and sizes of images."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table
from rich.text import Text


class Report:
    """Prints each step once it has ended."""

    def __init__(self, console: Console) -> None:
        """Take the output stream."""
        self.console = console
        self._began_s = time.monotonic()

    @contextmanager
    def step(self, what: str) -> Iterator[list[str]]:
        """Time a step; items that the block adds to the list are printed with it."""
        began_s, seen = time.monotonic(), list[str]()
        mark = Text("FAILS", "red")
        try:
            yield seen
            mark = Text("well ", "green")
        finally:
            took = f" {time.monotonic() - began_s:6.1f} s  "
            line = f"{what}: {', '.join(seen)}" if seen else what
            self.console.print(Text.assemble(mark, took, line), soft_wrap=True)

    @property
    def took_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began_s


def sizes(images: Mapping[str, int]) -> Table:
    """Return a table of images and their sizes."""
    table = Table("image", "MB", box=None, header_style="bold", pad_edge=False)
    table.columns[1].justify = "right"
    for name, n_bytes in sorted(images.items()):
        table.add_row(name, f"{n_bytes / 1e6:,.0f}")
    return table
