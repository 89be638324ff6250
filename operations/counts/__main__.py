"""The commands on counts of pairs of items.

`python -m operations.counts neighbors ITEM` shows the items that users have together with one.

`python -m operations.counts rebuild` deletes counts, to be made again.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from typing import Annotated, Final

import typer
from redis.exceptions import RedisError
from rich.table import Table

from contracts.keyspace import Keyspace
from contracts.messages import MAX_INSTRUMENT_ID
from contracts.topics import COOCCURRENCES, INTERACTIONS
from operations.console import exit_on, results
from operations.counts.neighbors import NoCountsError, neighbors
from operations.counts.rebuild import RebuildError
from operations.counts.rebuild import rebuild as rebuild_counts
from runtime.kafka import broker
from runtime.kafka.tokens import TokenError
from runtime.redis.stores import Store, connect
from runtime.settings import SettingsError, SharedSettings, read_settings
from runtime.topology import TopologyError

_EXPECTED: Final = (
    *(NoCountsError, RebuildError, TopologyError),
    *(RedisError, SettingsError, TokenError),
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Show and rebuild the counts of pairs of items."""


@app.command("neighbors")
def show_neighbors(
    item: Annotated[int, typer.Argument(min=0, max=MAX_INSTRUMENT_ID, help="an instrument's id")],
    count: Annotated[
        int, typer.Option(min=1, help="how many neighbors, those with the highest counts first")
    ] = 20,
) -> None:
    """Show the items that users have together with an item, with their counts."""
    with exit_on(*_EXPECTED):
        settings = read_settings(SharedSettings)
        with _connected(settings) as store:
            own, counts = neighbors(store, Keyspace(settings.namespace), item)
    table = Table("item", box=None, header_style="bold")
    table.add_column("count", justify="right")
    for other, together in islice(counts.items(), count):
        table.add_row(str(other), f"{together:g}")
    results.print(f"item {item}, whose own count is {own:g}, has {len(counts):,} neighbors")
    results.print(table)


@app.command()
def rebuild(
    *,
    from_events: Annotated[
        bool,
        typer.Option(
            "--from-events",
            help="delete histories as well, and make both from `interactions`; by default counts "
            "are made from the changes in `cooccurrences`",
        ),
    ] = False,
) -> None:
    """Delete the counts in Redis, so that workers make them again; stop all workers before."""
    with exit_on(*_EXPECTED):
        settings = read_settings(SharedSettings)
        client = broker.Admin(settings.kafka)
        with _connected(settings) as store:
            keyspace = Keyspace(settings.namespace)
            deleted = rebuild_counts(client, store, keyspace, from_events=from_events)
    source = (INTERACTIONS if from_events else COOCCURRENCES).name
    results.print(f"{deleted:,} keys deleted: start the workers, they fold {source} from its start")


@contextmanager
def _connected(settings: SharedSettings) -> Iterator[Store]:
    with closing(connect(settings.redis_url, "tickrec-counts")) as store:
        yield store


if __name__ == "__main__":
    app()
