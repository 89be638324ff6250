"""`python -m trainer tune`: finds the settings that suit your own data."""

import enum
from pathlib import Path
from typing import Annotated

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

TunedName = enum.StrEnum("TunedName", {name: name for name, of in MODELS.items() if of.is_tuned})  # type: ignore[misc]


def tune(
    interactions: InteractionsFile = None,
    train: TrainFile = None,
    test: TestFile = None,
    split: Split = Splitting.TEMPORAL,
    test_share: TestShare = 0.25,
    seed: Seed = 1,
    model: Annotated[list[TunedName] | None, typer.Option(help="repeatable; default: all")] = None,
    settings: SettingsFile = None,
    assignments: Settings = None,
    worker: Worker = None,
    n: Length = 10,
    trials: Annotated[int, typer.Option(min=1, help="of each model, earlier runs included")] = 50,
    storage: Annotated[
        Path, typer.Option(help="remembers the trials: the next run goes on from there")
    ] = Path("tune.journal"),
    out: Annotated[Path, typer.Option(help="TOML file to write, for TRAINER_SETTINGS_FILE")] = Path(
        "trainer.toml"
    ),
) -> None:
    """Search for settings on a part of the training data, and write the best ones to a file.

    The test data is used only at the end: the table compares each model as set and as tuned on
    events that the search has not seen.
    """
    from trainer.evaluation.question import Question
    from trainer.evaluation.table import sentence_on, table_of
    from trainer.settings_file import write_settings_file
    from trainer.tuning.run import run, settings_of
    from trainer.tuning.search import Search
    from trainer.tuning.tunable import TunableModel

    with errors_reported():
        check_folders(storage, out)
        rules = worker_rules(worker or [])
        weights = rules.weights_of_types()
        question = Question(interactions, train, test, split, test_share, seed, weights)
        now = trainer_settings(settings, assignments or [])
        models = [TunableModel(str(name), now) for name in model or TunedName]
        tuned = run(question, rules, models, Search(storage, n, trials, seed))
    results().print(table_of(tuned.evaluation))
    of_models = ", ".join(f"{name} {best.ndcg:.4f}" for name, best in tuned.best.items())
    comments = [
        f"Made by `python -m trainer tune`: the best of {trials} trials of each model.",
        f"nDCG@{n} on the validation split: {of_models}.",
        sentence_on(tuned.evaluation.data),
    ]
    write_settings_file(out, settings_of(tuned.best), comments)
    typer.echo(f"wrote {out}: run the trainer with TRAINER_SETTINGS_FILE={out}", err=True)
