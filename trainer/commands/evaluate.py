"""`python -m trainer evaluate`: how good models are on a file of your own."""

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from trainer.commands.options import (
    InteractionsFile,
    Length,
    Seed,
    Settings,
    SettingsFile,
    Split,
    TestFile,
    TestShare,
    TrainFile,
    Worker,
    check_folders,
    errors_reported,
    results,
    trainer_settings,
    worker_rules,
)
from trainer.evaluation.interactions import Splitting
from trainer.models import MODELS
from trainer.settings import AUTO, TrainerSettings
from trainer.settings_file import changed, write_settings_file

if TYPE_CHECKING:  # it would take a second
    from trainer.evaluation.result import Evaluation

ModelName = enum.StrEnum("ModelName", {name: name for name in (AUTO, *MODELS)})  # type: ignore[misc]


def evaluate(
    interactions: InteractionsFile = None,
    train: TrainFile = None,
    test: TestFile = None,
    split: Split = None,
    test_share: TestShare = 0.25,
    seed: Seed = 1,
    folds: Annotated[
        int,
        typer.Option(
            min=1, help="of users, for cross-validation: each is judged by its own models"
        ),
    ] = 1,
    model: Annotated[list[ModelName] | None, typer.Option(help="repeatable; default: all")] = None,
    settings: SettingsFile = None,
    assignments: Settings = None,
    worker: Worker = None,
    n: Length = 10,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,  # noqa: FBT002 (a flag of the command line)
    recommendations: Annotated[
        Path | None,
        typer.Option(help="CSV file to write: user_id, instrument_id, rank, score; of one --model"),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="HTML file to write, with plots")] = None,
    best: Annotated[
        Path | None,
        typer.Option(help="TOML file to write, for TRAINER_SETTINGS_FILE: what `auto` chose"),
    ] = None,
) -> None:
    """Measure how good the models' lists are, on events that they have not learned from.

    Users and items need not be in Redis: everything comes from the files.
    """
    from trainer.evaluation.result import table_of
    from trainer.evaluation.run import run
    from trainer.evaluation.splits import Question, QuestionError

    names = [str(name) for name in model or ModelName]
    with errors_reported():
        check_folders(recommendations, report, best)
        if recommendations and len(names) > 1:
            raise QuestionError("--recommendations writes the lists of one model: name one --model")
        if best and AUTO not in names:
            raise QuestionError("--best writes what `auto` chose: add --model auto")
        if folds > 1 and (recommendations or best):
            raise QuestionError("--recommendations and --best need one model for all: no --folds")
        rules = worker_rules(worker or [])
        weights = rules.weights_of_types()
        splitting = split or (Splitting.TEMPORAL if folds == 1 else Splitting.PER_USER)
        question = Question(interactions, train, test, splitting, test_share, seed, weights, folds)
        given = trainer_settings(settings, assignments or [])
        found = run(question, given, names, n, rules, recommendations)
        measured = [of_model.model for of_model in found.models]
        if best and AUTO in measured:
            write_best(best, found, given)
        if report:
            from trainer.evaluation.page import page_of  # Matplotlib takes a second

            report.write_text(page_of(found), encoding="utf-8")
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        results().print(table_of(found))
    if len(measured) < len(names) or found.data.folds < folds:
        done = f"{', '.join(measured)} on {found.data.folds} of {folds} folds"
        typer.echo(f"interrupted: measured only {done}", err=True)
        raise typer.Exit(130)  # as a shell reports a process that Ctrl-C ended


def write_best(path: Path, evaluation: "Evaluation", given: TrainerSettings) -> None:
    """Write the settings of what `auto` chose and measured, where they differ from the defaults."""
    from trainer.evaluation.result import sentence_on

    (auto,) = (of_model for of_model in evaluation.models if of_model.model == AUTO)
    (found,) = auto.found
    values = changed(given, found.values).not_at_default
    comments = [
        f"Made by `python -m trainer evaluate`. {found.why}.",
        sentence_on(evaluation.data),
    ]
    write_settings_file(path, found.values | {"repeats": found.repeats_most} | values, comments)
    typer.echo(f"wrote {path}: run the trainer with TRAINER_SETTINGS_FILE={path}", err=True)
