"""The command: `python -m operations.topics` creates the topics, or checks them.

Running it again changes nothing.

`python -m operations.topics dead-letters` lists the records that broke a rule, and
`python -m operations.topics republish` publishes them again once they are corrected.

`python -m operations.topics continue` and `start-over` decide about a topic that has another id and
the same records.
"""

import sys
from typing import Annotated, Final

import tenacity
import typer
from redis.exceptions import RedisError
from rich.table import Table
from rich.text import Text

from contracts.keyspace import Keyspace
from contracts.topics import ALL, DEAD_LETTERS_SUFFIX, STREAMED, Topic
from operations import dead_letters
from operations import republish as corrections
from operations.console import exit_on, messages, results
from operations.topics import Row, ensure, identity
from operations.topics.options import TopicOptions
from runtime.kafka import broker
from runtime.kafka.broker import Admin
from runtime.kafka.tokens import TokenError
from runtime.redis.stores import UNAVAILABLE, Store, check_kept, connect
from runtime.settings import GivenSettings, SettingsError, SharedSettings, read_settings
from runtime.topology import TopologyError

_WAIT_S: Final = 60
_CLIENT_NAME: Final = "tickrec-topics"
_SHOWN: Final = 20

_EXPECTED: Final = (
    TopologyError,
    broker.BrokerError,
    corrections.RepublishError,
    RedisError,
    SettingsError,
    TokenError,
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    partitions: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TOPIC=N", help="instead of the number in contracts/topics.py; repeatable"
        ),
    ] = None,
    retention_hours: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TOPIC=N", help="instead of the number in contracts/topics.py; repeatable"
        ),
    ] = None,
    replication_factor: Annotated[
        int | None, typer.Option(min=1, help="of new topics; default: the broker's")
    ] = None,
    min_insync_replicas: Annotated[
        int | None, typer.Option(min=1, help="that must have a record; default: the broker's")
    ] = None,
) -> None:
    """Create the topics, or check them, and note their partitions in Redis."""
    if context.invoked_subcommand is not None:
        return
    options = TopicOptions(
        dict(map(_parse, partitions or [])),
        dict(map(_parse, retention_hours or [])),
        replication_factor,
        min_insync_replicas,
    )
    if replication_factor and min_insync_replicas and min_insync_replicas > replication_factor:
        raise typer.BadParameter(
            f"{min_insync_replicas} of {replication_factor} replicas never acknowledge a record",
            param_hint="--min-insync-replicas",
        )
    with exit_on(*_EXPECTED):
        settings = read_settings(SharedSettings)
        client, store = _connect_patiently(settings)
        rows = ensure(client, store, Keyspace(settings.namespace), options)
    results.print(_table(rows))


@app.command("dead-letters")
def list_dead_letters(
    topic: Annotated[str | None, typer.Argument(help="only this topic, such as quotes")] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help=f"only the newest; by default {_SHOWN} of a topic, with --json all"
        ),
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="print JSON lines, for editing")] = False,
) -> None:
    """List the records that broke a rule, the newest last."""
    chosen = [_parse_topic(topic)] if topic else STREAMED
    if not json:
        limit = limit or _SHOWN
    with exit_on(*_EXPECTED):
        kafka = read_settings(SharedSettings).kafka
        client = broker.Admin(kafka)
        letters = [
            letter for one in chosen for letter in dead_letters.read(client, kafka, one, limit)
        ]
    if json:
        sys.stdout.buffer.writelines(dead_letters.lines(letters))
    elif letters:
        results.print(dead_letters.table(sorted(letters, key=lambda each: each.rejected_at)))
    else:
        results.print(f"no dead letters of {', '.join(each.name for each in chosen)}")


@app.command()
def republish(
    file: Annotated[
        typer.FileBinaryRead,
        typer.Argument(help="lines of `dead-letters --json`, corrected; - for standard input"),
    ],
) -> None:
    """Republish corrected dead letters: all of them, or none if one is still invalid."""
    with exit_on(*_EXPECTED):
        settings = read_settings(GivenSettings)
        corrected = corrections.read(file, settings.input_rules())
        published = corrections.publish(settings.kafka, corrected)
    for topic, count in published.items():
        results.print(f"{count} published to {topic}")


@app.command("continue")
def go_on(topic: Annotated[str, typer.Argument(help="the copied topic, such as quotes")]) -> None:
    """Make workers resume at their positions in a topic of another id: it has the same records."""
    with exit_on(*_EXPECTED):
        settings = read_settings(SharedSettings)
        client, store = _connect_patiently(settings)
        of = identity.go_on(client, store, Keyspace(settings.namespace), _parse_topic(topic))
    results.print(f"{_named(of)} of {topic} resume at their positions: restart the workers")


@app.command("start-over")
def start_over(
    topic: Annotated[str, typer.Argument(help="the topic to count again, such as quotes")],
) -> None:
    """Make workers count a topic of another id from its beginning, on top of what is stored."""
    with exit_on(*_EXPECTED):
        settings = read_settings(SharedSettings)
        client, store = _connect_patiently(settings)
        of = identity.start_over(client, store, Keyspace(settings.namespace), _parse_topic(topic))
    results.print(f"{_named(of)} of {topic} start over: restart the workers")


def _named(partitions: list[int]) -> str:
    return f"partitions {', '.join(map(str, partitions))}" if partitions else "no partitions"


def _parse(option: str) -> tuple[str, int]:
    """Read `TOPIC=N`, of partitions or hours.

    Raises:
        typer.BadParameter: it is not that, with a topic of ours and at least one partition.
    """
    name, _, number = option.partition("=")
    names = [topic.name for topic in ALL]
    if name not in names:
        raise typer.BadParameter(f"there is no topic {name!r}, only {', '.join(names)}")
    if not number.isdecimal() or int(number) < 1:
        raise typer.BadParameter(f"{option!r} is not TOPIC=N with N of 1 or more")
    return name, int(number)


def _parse_topic(name: str) -> Topic:
    """Read the name of a topic, or of its dead letters.

    Raises:
        typer.BadParameter: there is none of that name.
    """
    by_name = {topic.name: topic for topic in STREAMED}
    topic = by_name.get(name.removesuffix(DEAD_LETTERS_SUFFIX))
    if topic is None:
        raise typer.BadParameter(f"there is no topic {name!r}, only {', '.join(by_name)}")
    return topic


def _table(rows: list[Row]) -> Table:
    table = Table("topic", box=None, header_style="bold")
    table.add_column("partitions", justify="right")
    table.add_column("retention", justify="right")
    table.add_column("state")
    for topic, partitions, retention_h, created, differing in rows:
        state = "[green]created[/]" if created else "exists"
        if differing:
            state = f"[yellow]{state}, but {'; '.join(differing)}[/]"
        retention = "compacted" if topic.is_compacted else f"{retention_h} h"
        table.add_row(topic.name, str(partitions), retention, state)
    return table


def _connect_patiently(settings: SharedSettings) -> tuple[Admin, Store]:
    """Return clients of broker and store, once both answer.

    Raises:
        broker.BrokerError: no broker answers within `_WAIT_S`, or it does not let us in.
        redis.exceptions.ConnectionError: nor the store.
    """
    patiently = tenacity.Retrying(
        retry=tenacity.retry_if_exception(
            lambda error: (
                isinstance(error, (*UNAVAILABLE, broker.BrokerError))
                and not isinstance(error, broker.RefusedError)
            )
        ),
        stop=tenacity.stop_after_delay(_WAIT_S),
        wait=tenacity.wait_fixed(0.2),
        reraise=True,
    )
    store = patiently(connect, settings.redis_url, _CLIENT_NAME)
    for warning in check_kept(store):
        messages.print(Text.assemble(("warning ", "yellow"), warning))
    client = broker.Admin(settings.kafka)
    patiently(broker.partitions_of, client)
    return client, store


if __name__ == "__main__":
    app()
