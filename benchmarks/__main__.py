"""`python -m benchmarks NAME`: runs a benchmark on servers of its own."""

from typing import Annotated

import typer

from benchmarks.archive import archive
from benchmarks.auto import auto
from benchmarks.bars import bars
from benchmarks.canaries import canaries
from benchmarks.capacity.command import capacity
from benchmarks.flood.scenario import flood_others
from benchmarks.harness.session import Json, Rounds, folder, present, progress, say
from benchmarks.history.scenario import history
from benchmarks.interactions import interactions
from benchmarks.keepup.scenario import keepup
from benchmarks.limits import limits
from benchmarks.memory import memory
from benchmarks.models import models
from benchmarks.page.scenario import page
from benchmarks.poison import poison
from benchmarks.reads import parts as read_parts
from benchmarks.reads.data import Size
from benchmarks.reads.scene import StoreProduct, set_up
from benchmarks.rolling import rolling
from benchmarks.scaling import scaling
from benchmarks.spark import spark
from benchmarks.stream.scenario import stream
from benchmarks.tracing import tracing
from benchmarks.train import train
from benchmarks.user_knn import user_knn

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for command in (
    bars,
    interactions,
    poison,
    tracing,
    limits,
    keepup,
    rolling,
    scaling,
    stream,
    memory,
    page,
    history,
    canaries,
    models,
    archive,
    train,
    capacity,
    auto,
    user_knn,
    spark,
):
    app.command()(command)


app.command("flood")(flood_others)


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
