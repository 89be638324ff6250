"""`python -m trainer evaluate`: how good models are on a file of your own."""

import enum
from pathlib import Path
from typing import Annotated

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
from trainer.settings import AUTO

ModelName = enum.StrEnum("ModelName", {name: name for name in (AUTO, *MODELS)})  # type: ignore[misc]


def evaluate(
    interactions: InteractionsFile = None,
    train: TrainFile = None,
    test: TestFile = None,
    split: Split = Splitting.TEMPORAL,
    test_share: TestShare = 0.25,
    seed: Seed = 1,
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
) -> None:
    """Measure how good the models' lists are, on events that they have not learned from.

    Users and items need not be in Redis: everything comes from the files.
    """
    from trainer.evaluation.page import page_of
    from trainer.evaluation.question import Question, QuestionError
    from trainer.evaluation.run import run
    from trainer.evaluation.table import table_of

    names = [str(name) for name in model or ModelName]
    with errors_reported():
        check_folders(recommendations, report)
        if recommendations and len(names) > 1:
            raise QuestionError("--recommendations writes the lists of one model: name one --model")
        rules = worker_rules(worker or [])
        weights = rules.weights_of_types()
        question = Question(interactions, train, test, split, test_share, seed, weights)
        found = run(
            question,
            trainer_settings(settings, assignments or []),
            names,
            n,
            recommendations,
            rules,
        )
        if report:
            report.write_text(page_of(found), encoding="utf-8")
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        results().print(table_of(found))
