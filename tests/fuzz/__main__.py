"""`python -m tests.fuzz`: the tests of this folder, with as many requests as you like."""

import os
import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer


def main(
    count: Annotated[int, typer.Option("--cases", min=1, help="of the fuzz")] = 10_000,
    examples: Annotated[int, typer.Option(min=1, help="of schemathesis, for an operation")] = 200,
    seed: Annotated[int | None, typer.Option(help="of both; at random if absent")] = None,
) -> None:
    """Put requests of every kind to `python -m api`, and judge its answers and its log."""
    given = {"CASES": count, "EXAMPLES": examples, "SEED": seed}
    os.environ |= {f"FUZZ_{name}": str(it) for name, it in given.items() if it is not None}
    sys.exit(pytest.main(["-s", "-m", "", str(Path(__file__).parent)]))


if __name__ == "__main__":
    typer.run(main)
