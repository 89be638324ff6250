"""`python -m benchmarks NAME`: runs a benchmark on servers of its own."""

from typing import Annotated

import typer

from benchmarks.archive import archive
from benchmarks.bars import bars
from benchmarks.capacity.command import capacity
from benchmarks.harness.session import Json, Rounds, folder, present, progress, say
from benchmarks.interactions import interactions
from benchmarks.keepup.scenario import keepup
from benchmarks.models import models
from benchmarks.reads import parts as read_parts
from benchmarks.reads.data import Size
from benchmarks.reads.scene import StoreProduct, set_up
from benchmarks.train import train

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for command in (
    bars,
    interactions,
    keepup,
    models,
    archive,
    train,
    capacity,
):
    app.command()(command)


@app.callback()
def main() -> None:
    """Measure our programs against baselines on the same data, broker and store."""


@app.command()
def reads(
    rounds: Rounds = 5,
    seconds: Annotated[int, typer.Option(min=1, help="that each is asked in a round")] = 2,
    parts: Annotated[
        list[read_parts.Part] | None, typer.Option("--part", help="may be repeated; all if absent")
    ] = None,
    store: Annotated[StoreProduct, typer.Option(help="that holds the data")] = StoreProduct.VALKEY,
    instruments: Annotated[int, typer.Option(min=300)] = 50_000,
    users: Annotated[int, typer.Option(min=100)] = 1_000_000,
    *,
    json: Json = False,
) -> None:
    """Hot reads over HTTP, against FastAPI with redis-py on the same data."""
    asked, size = parts or list(read_parts.Part), Size(instruments, users)
    with folder() as path, set_up(path, store, size, progress) as scene:
        for found in read_parts.measure(scene, asked, rounds, seconds, say):
            present(found, json=json)


if __name__ == "__main__":
    app()
