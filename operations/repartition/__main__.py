"""The command: `python -m operations.repartition --from-prefix PREFIX`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from operations.console import exit_on, messages, results
from operations.repartition.copier import Show, copy
from operations.repartition.progress import Copied, CopyError
from runtime.archive.config import read_archive
from runtime.kafka import broker
from runtime.kafka.broker import BrokerError
from runtime.kafka.config import KafkaConfig
from runtime.kafka.rights import RightsError
from runtime.kafka.tokens import TokenError
from runtime.settings import GivenSettings, SettingsError, read_settings

if TYPE_CHECKING:
    from operations.repartition.archive import CopyArchive

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    from_prefix: Annotated[
        str, typer.Option(help="KAFKA_PREFIX of the topics to copy; '' if they have none")
    ],
    *,
    from_archive: Annotated[
        bool,
        typer.Option(
            "--from-archive", help="take from the archive what Kafka has deleted; with each copy"
        ),
    ] = False,
) -> None:
    """Copy the topics of a prefix into those of KAFKA_PREFIX, from where the last copy ended.

    Exits with 1 if it does not get to the ends that the logs had when it began.
    """
    with exit_on(CopyError, BrokerError, RightsError, SettingsError, TokenError), _shown() as show:
        settings = read_settings(GivenSettings)
        kafka = settings.kafka
        archive = _archive(kafka) if from_archive else None
        copied = copy(kafka, from_prefix, show, archive, settings.input_rules())
    results.print(_table(copied, from_archive=from_archive))


def _archive(kafka: KafkaConfig) -> "CopyArchive":
    """Return the archive of the old topics.

    Raises:
        CopyError: the libraries to read it are not installed.
    """
    try:
        from operations.repartition.archive import CopyArchive
    except ImportError as error:
        raise CopyError(
            f"--from-archive needs packages that are not installed ({error}): "
            "install tickrec[archive,replay], or use the image tickrec/operations-archive"
        ) from error
    return CopyArchive(read_archive(), broker.Admin(kafka))


def _table(copied: list[Copied], *, from_archive: bool) -> Table:
    table = Table("from", "to", box=None, header_style="bold")
    for column in ("partitions", "copied", "left out", "deleted before"):
        table.add_column(column, justify="right")
    if from_archive:
        table.add_column("from the archive", justify="right")
    for topic in copied:
        figures = [topic.records, topic.left_out, topic.deleted]
        table.add_row(
            topic.old_name,
            topic.new_name,
            f"{topic.partitions.before} to {topic.partitions.after}",
            *(f"{n:,}" for n in (*figures, *([topic.archived] if from_archive else []))),
        )
    return table


@contextmanager
def _shown() -> Iterator[Show]:
    """Show the copy's progress on a terminal."""
    with Progress(console=messages, transient=True, disable=not messages.is_terminal) as bar:
        task = bar.add_task("copying", total=None)
        yield lambda done, whole: bar.update(task, completed=done, total=whole)


if __name__ == "__main__":
    app()
