"""Makes the client without asyncio from the one with it."""

import re
import subprocess
import sys
from typing import Final

_WORDS: Final = {
    r"import asyncio": "import time",
    r"asyncio\.sleep": "time.sleep",
    r"async (def|with|for)": r"\1",
    r"await ": "",
    r"Awaitable\[(\w+)\]": r"\1",
    r"\bAsync(Generator|Iterator|Client|Connection|Endpoints|Stream|Tickrec)": r"\1",
    r"websockets\.asyncio": "websockets.sync",
    r"\baclosing": "closing",
    r"\ba(close|read|iter_lines)\(": r"\1(",
    r"__a(enter|exit|iter)__": r"__\1__",
}
"""Patterns of the code with asyncio, and what stands without it instead."""


def synchronous(code: str) -> str:
    r"""Return a module's code without asyncio.

    >>> print(synchronous("async def f(http: AsyncClient) -> None:\n    await http.aclose()"))
    def f(http: Client) -> None:
        http.close()
    <BLANKLINE>
    """
    for pattern, instead in _WORDS.items():
        code = re.sub(pattern, instead, code)
    return formatted(code)


def formatted(code: str) -> str:
    """Return code as ruff formats it, with `yield from` and without imports that are not used."""
    select = ("--select", "F401,I,UP028", "--unsafe-fixes", "--fix-only", "--quiet")
    return _ruff("format", _ruff("check", code, *select))


def _ruff(command: str, code: str, *options: str) -> str:
    # A name inside of the repository: its settings apply.
    name = "clients/python/src/tickrec_client/generated.py"
    argv = [sys.executable, "-m", "ruff", command, *options, "--stdin-filename", name, "-"]
    return subprocess.run(argv, input=code, capture_output=True, text=True, check=True).stdout
