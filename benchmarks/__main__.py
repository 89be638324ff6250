"""`python -m benchmarks NAME`: runs a benchmark on servers of its own."""

import typer

from benchmarks.archive import archive
from benchmarks.bars import bars
from benchmarks.interactions import interactions
from benchmarks.keepup.scenario import keepup
from benchmarks.models import models
from benchmarks.reads.scenario import reads
from benchmarks.train.scenario import train

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for command in (bars, interactions, keepup, reads, train, models, archive):
    app.command()(command)


@app.callback()
def main() -> None:
    """Measure our programs against baselines on the same data, broker and store."""


if __name__ == "__main__":
    app()
