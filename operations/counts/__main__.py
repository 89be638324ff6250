"""The commands: `python -m operations.counts rebuild` deletes counts, to be made again."""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated, Final

import typer
from redis.exceptions import RedisError
from rich.console import Console

from contracts.keyspace import Keyspace
from contracts.topics import COOCCURRENCES, INTERACTIONS
from operations.counts.rebuilding import RebuildError
from operations.counts.rebuilding import rebuild as rebuild_counts
from operations.refusing import refusing
from runtime.kafka import broker
from runtime.kafka.tokens import TokenError
from runtime.redis.stores import Store, connect
from runtime.settings import SettingsError, SharedSettings, read_settings
from runtime.topology import TopologyError

_EXPECTED: Final = (RebuildError, RedisError, SettingsError, TokenError, TopologyError)
_WIDTH_OF_A_FILE: Final = 160

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
results = Console() if sys.stdout.isatty() else Console(width=_WIDTH_OF_A_FILE)


@app.callback()
def main() -> None:
    """Rebuild the counts of pairs of items."""


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
    with refusing(*_EXPECTED):
        settings = read_settings(SharedSettings)
        client = broker.admin(settings.kafka)
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
