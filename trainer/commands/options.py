"""What the commands share: options for files, and error reporting."""

import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import ValidationError
from rich.console import Console

from runtime.settings import describe_errors, flat_fields
from trainer.evaluation.interactions import Splitting, WorkerRules
from trainer.settings import TrainerSettings
from trainer.settings_file import check_name, nested, read_settings_file

USAGE_ERROR: Final = 2
"""The exit status of invalid usage, as in shells."""
_WIDTH_OF_A_FILE: Final = 160

InteractionsFile = Annotated[
    Path | None,
    typer.Option(help="CSV, CSV.gz or Parquet: ts_ms, user_id, instrument_id; split by --split"),
]
TrainFile = Annotated[Path | None, typer.Option(help="such a file to learn from; with --test")]
TestFile = Annotated[Path | None, typer.Option(help="such a file with what is to be found")]
Split = Annotated[
    Splitting | None,
    typer.Option(
        help="the last of all events (the default), a share of each user's items (the default with "
        "--folds), or each one's last"
    ),
]
TestShare = Annotated[
    float, typer.Option(min=0.01, max=0.99, help="of the events, or of each user's items")
]
Seed = Annotated[int, typer.Option(min=0, help="of the random numbers")]
SettingsFile = Annotated[
    Path | None, typer.Option("--settings", help="TOML file with the trainer's settings")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="one of the trainer's settings; repeatable"),
]
Worker = Annotated[
    list[str] | None,
    typer.Option(
        "--worker",
        metavar="NAME=VALUE",
        help="a setting of the workers that folds events: affinity, half_life_days, history_cap, "
        "user_weight, user_weight_exponent, typical_value, event_weights; repeatable",
    ),
]
Length = Annotated[int, typer.Option("--n", min=1, help="length of a list")]


class NoFolderError(ValueError):
    """The folder of an output file does not exist."""


def trainer_settings(path: Path | None, assignments: Sequence[str]) -> TrainerSettings:
    """Return the trainer's settings: those assigned, else the file's, else the environment's.

    Raises:
        SettingsFileError: a name or the file is wrong.
        ValidationError: a value is.
    """
    values = read_settings_file(path, TrainerSettings) if path else {}
    values |= _assigned("--set: ", assignments, flat_fields(TrainerSettings))
    return TrainerSettings.model_validate(nested(values, TrainerSettings))


def worker_rules(assignments: Sequence[str]) -> WorkerRules:
    """Return how the workers would fold events; what is not assigned is their default.

    Raises:
        SettingsFileError: there is no setting of a name.
        ValidationError: a value is wrong.
    """
    return WorkerRules.model_validate(
        _assigned("--worker: ", assignments, WorkerRules.model_fields)
    )


def _assigned(option: str, assignments: Sequence[str], known: Collection[str]) -> dict[str, str]:
    """Return what `NAME=VALUE` assigns, by names in small letters."""
    values = {}
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        check_name(option, name.lower(), known)
        values[name.lower()] = value
    return values


def check_folders(*files: Path | None) -> None:
    """Check that files can be written at the end of long work.

    Raises:
        NoFolderError: the folder of one is not there.
    """
    for file in files:
        if file and not file.parent.is_dir():
            raise NoFolderError(f"{file}: there is no folder {file.parent}: make it first")


@contextmanager
def errors_reported() -> Iterator[None]:
    """End the program with a one-line error that the user can act on."""
    try:
        yield
    except (ValidationError, ValueError) as error:
        typer.echo(f"Error: {_described(error)}", err=True)
        raise typer.Exit(USAGE_ERROR) from error


def results() -> Console:
    """Return the console for results, with wide lines when it is not a terminal."""
    width = None if sys.stdout.isatty() else _WIDTH_OF_A_FILE
    return Console(width=width, highlight=False)


def _described(error: ValueError) -> str:
    return (
        describe_errors(error, TrainerSettings)
        if isinstance(error, ValidationError)
        else str(error)
    )
