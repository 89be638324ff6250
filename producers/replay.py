"""`python -m producers replay`: its subcommands and their options."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contracts.messages import QUOTE_COLUMNS
from contracts.topics import INSTRUMENTS, Topic
from producers.batch import Batch
from producers.feed import MAX_SPEED, parse_speed
from producers.files import RowFile, open_rows
from producers.rows import (
    INTERACTION_ROWS,
    QUOTE_ROWS,
    Kind,
    M,
    check_columns,
    instrument_records,
    message_records,
)
from producers.run import Rejected, Source, exit_after
from producers.settings import ProducerSettings
from runtime.archive.config import read_archive
from runtime.settings import read_settings

if TYPE_CHECKING:
    from producers.archive import Name

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Publish the rows of a file, or of the archive.",
)


def _speed(text: str) -> float:
    try:
        return parse_speed(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _time_ms(text: str) -> int:
    try:
        if text.isascii() and text.isdigit():
            return int(text)
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is neither epoch ms nor RFC 3339") from error
    if at.tzinfo is None:
        raise typer.BadParameter(f"{text!r} has no zone: add Z, or an offset")
    return round(at.timestamp() * 1000)


_FILES = "CSV (commas or semicolons, gzipped or not) or Parquet"
File = Annotated[Path, typer.Argument(help=_FILES)]
FileOrNone = Annotated[Path | None, typer.Argument(help=f"{_FILES}; none with --from-archive")]
Speed = Annotated[
    float,
    typer.Option(
        parser=_speed,
        metavar="Nx|max",
        help="event time against wall-clock time: 1x, 60x, ..., or max",
    ),
]
FromArchive = Annotated[
    bool,
    typer.Option(
        "--from-archive",
        help="replay the archive's table: in the log's order with --speed max, else by event time",
    ),
]
Start = Annotated[
    int | None,
    typer.Option(
        parser=_time_ms, metavar="TIME", help="of the archive: first event time, or epoch ms"
    ),
]
End = Annotated[
    int | None,
    typer.Option(parser=_time_ms, metavar="TIME", help="of the archive: event times are before it"),
]
Prefix = Annotated[
    str | None,
    typer.Option(
        help="of the topics to publish to; KAFKA_PREFIX without. What is archived is that of the "
        "topics under KAFKA_PREFIX"
    ),
]


def _of_rows(name: "Name", kind: Kind[M]) -> Callable[..., None]:
    """Return the command that replays a file, or the archive's table `name`."""

    def replay(
        file: FileOrNone = None,
        *,
        speed: Speed = "1x",  # type: ignore[assignment]
        from_archive: FromArchive = False,
        start: Start = None,
        end: End = None,
        prefix: Prefix = None,
    ) -> None:
        if from_archive:
            _replay_archive(name, file, speed, (start, end), prefix)
        _replay_file(kind, file, speed, (start, end), prefix)

    return replay


_OPTIONAL = ", ".join(column.name for column in QUOTE_COLUMNS if not column.is_required)
_TIME = "`ts` is epoch ms, or ISO 8601 (UTC without an offset)."
app.command(
    "quotes",
    help=f"Publish quotes: columns ts, instrument_id, price; optional: {_OPTIONAL}.\n\n{_TIME}",
)(_of_rows("quotes", QUOTE_ROWS))
app.command(
    "interactions",
    help=f"""Publish interactions: columns ts, user_id, instrument_id; optional ones, too.

    {_TIME} Optional: event (trade without one), price, quantity. Those of the archive include the
    records that remove users.
    """,
)(_of_rows("interactions", INTERACTION_ROWS))


@app.command("feedback")
def replay_feedback(
    *,
    from_archive: FromArchive = False,
    speed: Speed = "1x",  # type: ignore[assignment]
    start: Start = None,
    end: End = None,
    prefix: Prefix = None,
) -> None:
    """Publish the archive's feedback."""
    if not from_archive:
        raise typer.BadParameter("feedback is replayed from the archive only: add --from-archive")
    _replay_archive("feedback", None, speed, (start, end), prefix)


@app.command("instruments")
def replay_instruments(file: File) -> None:
    """Publish instruments, at once: columns instrument_id, symbol (or code); optional ones, too.

    They are: name (the symbol without one), categories (separated by semicolons), listed (true or
    false; true without one).
    """
    exit_after(
        f"replaying {file.name}", lambda: _rows(file, INSTRUMENTS, instrument_records, MAX_SPEED)
    )


def _replay_archive(
    name: "Name",
    file: Path | None,
    speed: float,
    span: tuple[int | None, int | None],
    prefix: str | None,
) -> None:
    """Replay a table, and exit."""
    if file is not None:
        raise typer.BadParameter(f"either {file} or --from-archive")
    try:
        from producers.archive import archive_source
    except ImportError as error:
        raise typer.BadParameter(
            f"--from-archive needs packages that are not installed ({error}): "
            "install tickrec[archive,replay], or use the image tickrec/producers-archive"
        ) from error
    exit_after(
        f"replaying {name} from the archive",
        lambda: archive_source(name, read_archive(), span, speed),
        prefix,
    )


def _replay_file(
    kind: Kind[M],
    file: Path | None,
    speed: float,
    span: tuple[int | None, int | None],
    prefix: str | None,
) -> None:
    """Replay a file, and exit."""
    if file is None:
        raise typer.BadParameter("name a file, or say --from-archive")
    if span != (None, None):
        raise typer.BadParameter("--start and --end go with --from-archive")

    def batches(rows: RowFile, rejected: Rejected) -> Iterator[Batch]:
        check_columns(rows, kind)
        rules = read_settings(ProducerSettings).input_rules()
        return message_records(rows, kind, rejected, _now_ms, rules)

    exit_after(f"replaying {file.name}", lambda: _rows(file, kind.topic, batches, speed), prefix)


@contextmanager
def _rows(
    path: Path, topic: Topic, batches: Callable[[RowFile, Rejected], Iterator[Batch]], speed: float
) -> Iterator[Source]:
    with open_rows(path) as file:
        rejected = Rejected()
        yield Source(
            topics=(topic.name,),
            batches=batches(file, rejected),
            speed=speed,
            event_start_ms=None,
            share_done=file.share_read,
            rejected=rejected,
        )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
