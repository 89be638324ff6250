"""The operators' commands: history, promote, rollback, weights.

They need no lock and wait for no run: each is one compare-and-set of `model:current`. A run in
progress notices the change, and respects it.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from redis.exceptions import RedisClusterException, RedisError
from rich.console import Console

from contracts.feedback import NAME
from contracts.generations import (
    BY_PERSON,
    CANARY_VARIANT,
    DEFAULT_VARIANT,
    Current,
    Decision,
    Experiment,
    What,
)
from contracts.keyspace import Keyspace
from contracts.pointer import (
    UndecidableError,
    about,
    check_experiment,
    promoted,
    rolled_back,
    weighted,
)
from contracts.times import DAY_MS
from runtime.logs import configure_logs
from runtime.redis.stores import Store, connect
from runtime.settings import read_settings
from trainer.commands.options import errors_reported, results
from trainer.generations.decisions import note, read_decisions
from trainer.generations.publication import change_current, end_unnamed, read_current
from trainer.generations.tables import tables
from trainer.settings import TrainerSettings

SHOWN: Final = 20
PERIOD_DAYS: Final = 7
"""Of an experiment: users come back within a week."""
Expected = Annotated[
    str | None,
    typer.Option(help="the generation that it is about: with another one, nothing is done"),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (history, promote, rollback, weights):
        app.command()(command)


def history(
    n: Annotated[int, typer.Option(min=1, help="how many decisions, newest first")] = SHOWN,
) -> None:
    """Show what is served, to whom, and what was decided when and why."""
    with _store() as (store, keyspace, _):
        shown = tables(read_current(store, keyspace), read_decisions(store, keyspace, n))
    results().print(shown)


def promote(expected: Expected = None) -> None:
    """Let all users of the default variant have the canary, now."""
    with _store() as (store, keyspace, settings):
        keep = settings.keep_generations
        before, after = _change(
            store, keyspace, lambda current: promoted(about(current, expected), keep)
        )
        generation = after.variants[DEFAULT_VARIANT].generation
        _note(store, keyspace, generation, CANARY_VARIANT, "promoted")
    replaced = before.variants[DEFAULT_VARIANT].generation
    results().print(f"promoted {generation}, in place of {replaced}")


def rollback(expected: Expected = None) -> None:
    """Withdraw the canary or, without one, return to the previous generation; then hold."""
    with _store() as (store, keyspace, _):
        before, after = _change(
            store, keyspace, lambda current: rolled_back(about(current, expected))
        )
        variant, served = (
            (CANARY_VARIANT, before.canary.served)
            if before.canary
            else (DEFAULT_VARIANT, before.variants[DEFAULT_VARIANT])
        )
        generation = served.generation
        _note(store, keyspace, generation, variant, "rolled back")
    results().print(
        f"rolled back {generation}; {after.variants[DEFAULT_VARIANT].generation} is served, and "
        "nothing is published until `python -m trainer once`"
    )


def weights(
    experiment: Annotated[
        str | None, typer.Argument(help="its name; another name puts users into other groups")
    ] = None,
    of_variants: Annotated[
        list[str] | None, typer.Argument(help="such as default=9 steep=1", metavar="VARIANT=WEIGHT")
    ] = None,
    days: Annotated[
        float, typer.Option(min=0, max=3650, help="after which the variants are compared, once")
    ] = PERIOD_DAYS,
) -> None:
    """Distribute the users over the variants now; without arguments, end the experiment."""
    with _store() as (store, keyspace, _):
        now_ms = round(datetime.now(UTC).timestamp() * 1000)
        until_ms = now_ms + round(days * DAY_MS)
        try:
            given = dict(map(_weight, of_variants or []))
            wanted = Experiment(experiment, given, now_ms, until_ms) if experiment else None
            if wanted:
                check_experiment(wanted)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        _, after = _change(store, keyspace, lambda current: weighted(current, wanted))
    results().print(tables(after, []))


def _weight(text: str) -> tuple[str, float]:
    """Return a variant and its weight.

    >>> _weight("steep=0.5")
    ('steep', 0.5)
    """
    name, _, number = text.partition("=")
    if not re.fullmatch(NAME, name) or not re.fullmatch(r"\d+(\.\d+)?", number):
        raise ValueError(f"{text!r} is no weight: write variant=number, such as default=9")
    return name, float(number)


def _change(
    store: Store, keyspace: Keyspace, change: Callable[[Current], Current]
) -> tuple[Current, Current]:
    before, after = change_current(store, keyspace, change)
    end_unnamed(store, keyspace, before, after)
    return before, after


def _note(store: Store, keyspace: Keyspace, generation: str, variant: str, what: What) -> None:
    decision = Decision(
        at=datetime.now(UTC).isoformat(),
        generation=generation,
        variant=variant,
        what=what,
        why=f"`python -m trainer {'promote' if what == 'promoted' else 'rollback'}`",
        by=BY_PERSON,
    )
    note(store, keyspace, decision)


@contextmanager
def _store() -> Iterator[tuple[Store, Keyspace, TrainerSettings]]:
    """Give what a command needs; exit with one line if it cannot be done."""
    with errors_reported():
        settings = read_settings(TrainerSettings)
    configure_logs("trainer", settings)
    try:
        with closing(connect(settings.redis_url, "trainer")) as store:
            yield store, Keyspace(settings.namespace), settings
    except UndecidableError as error:
        _fail(str(error))
    except (RedisError, RedisClusterException) as error:
        _fail(str(error))


def _fail(why: str) -> None:
    Console(stderr=True, soft_wrap=True).print(why, style="red", highlight=False)
    raise typer.Exit(1)
