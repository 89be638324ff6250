"""`python -m infra.terraform_check`: checks `infra/terraform`, and says what each tool said."""

import sys
from pathlib import Path
from typing import Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.terraform_check.checks import Claim, claims
from infra.terraform_check.tools import NoToolError, tools

_SOURCE: Final = Path(__file__).parents[1] / "terraform"
_WIDTH_OF_A_FILE: Final = 120

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console() if sys.stdout.isatty() else Console(width=_WIDTH_OF_A_FILE)


@app.command()
def main() -> None:
    """Check the configuration for AWS without an account; exits with 1 if anything is wrong."""
    try:
        found = tools(say=console.print)
    except NoToolError as error:
        sys.exit(f"terraform-check: {error}")
    said = list(claims(found, _SOURCE))
    console.print(_table(said))
    if not all(claim.holds for claim in said):
        raise typer.Exit(1)


def _table(said: list[Claim]) -> Table:
    table = Table("check", "said", "")
    for claim in said:
        table.add_row(claim.what, Text(claim.said), "well" if claim.holds else "WRONG")
    return table


if __name__ == "__main__":
    app(prog_name="python -m infra.terraform_check")
