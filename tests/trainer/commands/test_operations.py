"""Operators' commands take effect at once, are noted, and name the remedy if they fail."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner, Result

from contracts.generations import DEFAULT_VARIANT, Canary, Decision, HeldOut, Served
from contracts.keyspace import REPLACED_GENERATION_TTL_S
from contracts.times import DAY_MS
from infra.local.process import free_port
from tests.trainer.setup import Setup
from trainer.__main__ import app
from trainer.generations.decisions import note
from trainer.generations.publication import publication
from trainer.run.placing import figures_of

Command = Callable[..., Result]


@pytest.fixture
def command(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `python -m trainer` with arguments in this process, and return how that ended."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # It would change the logs of all tests of this process.
    monkeypatch.setattr("trainer.commands.operations.configure_logs", lambda *_: None)

    def run(*arguments: str, **settings: str) -> Result:
        return CliRunner().invoke(app, arguments, env=settings)

    return run


def publish(setup: Setup, fence: int, *, canary: bool = False) -> None:
    generation = f"g{fence}"
    with publication(setup.store, setup.keys, generation, fence) as made:
        made.write({setup.keys.model_popular(generation): b"{}"})
    if canary:
        made.try_out(Canary(Served(generation, "ease", "user-knn"), 0.1, 0, 1), release=False)
    else:
        made.serve(Served(generation, "cosine", "user-knn"), keep=1)
    at = datetime(2021, 8, 16, fence, tzinfo=UTC).isoformat()
    what = "on trial" if canary else "published"
    note(
        setup.store, setup.keys, Decision(at, generation, DEFAULT_VARIANT, what, "because", "rules")
    )


def lives_for_ever(setup: Setup, generation: str) -> bool:
    ttl = setup.store.ttl(setup.keys.model_popular(generation))
    assert ttl == -1 or 0 < ttl <= REPLACED_GENERATION_TTL_S
    return bool(ttl == -1)


def test_history_shows_who_is_served_what_and_all_decisions(setup: Setup, command: Command) -> None:
    for fence in (1, 2):
        publish(setup, fence)
    publish(setup, 3, canary=True)
    done = command("history")
    assert done.exit_code == 0, done.stderr
    lines = [line.split() for line in done.stdout.replace("│", " ").splitlines()]
    assert ["default", "g2", "cosine", "user-knn", "90.0%"] in lines
    assert ["canary", "g3", "ease", "user-knn", "10.0%"] in lines
    assert ["(kept)", "g1", "cosine", "user-knn"] in lines
    decisions = [line for line in lines if line[-1:] == ["because"]]
    made = [f"{line[2]} {line[4]}" for line in decisions]
    assert made == ["g3 on", "g2 published", "g1 published"]
    assert "g2" not in command("history", "--n", "1").stdout.split("Decisions")[1]


def test_history_shows_what_is_predicted(setup: Setup, command: Command) -> None:
    publish(setup, 1)
    assert "nDCG" not in command("history").stdout
    figures = figures_of(HeldOut(300, 0.13, 0.12, 0.14, 0.5, 0.5))
    note(setup.store, setup.keys, Decision("", "g1", "default", "published", "", "", figures))
    lines = command("history").stdout.replace("│", " ").splitlines()
    (row,) = (line.split() for line in lines if "0.1300" in line)
    assert " ".join(row) == "g1 default 0.1300 (0.1200 .. 0.1400) 300"


def test_promote_serves_the_canary_to_all(setup: Setup, command: Command) -> None:
    publish(setup, 1)
    publish(setup, 2, canary=True)
    done = command("promote", KEEP_GENERATIONS="1")
    assert done.exit_code == 0
    assert done.stdout.endswith("promoted g2, in place of g1\n")
    assert setup.served_generation == "g2"
    assert [kept.generation for kept in setup.current.previous] == ["g1"]
    assert lives_for_ever(setup, "g1")
    latest = setup.decisions()[0]
    assert (latest.generation, latest.what, latest.by) == ("g2", "promoted", "person")


def test_rollback_ends_the_canary_and_then_the_generation(setup: Setup, command: Command) -> None:
    publish(setup, 1)
    publish(setup, 2)
    publish(setup, 3, canary=True)
    for rolled_back, served in (("g3", "g2"), ("g2", "g1")):
        done = command("rollback")
        assert done.exit_code == 0, done.stderr
        assert f"rolled back {rolled_back}; {served} is served" in done.stdout
        assert setup.served_generation == served
        assert setup.current.held
        assert not lives_for_ever(setup, rolled_back)
        assert lives_for_ever(setup, served)
    assert "python -m trainer once" in command("history").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["promote"], "no canary is on trial"),
        (["rollback"], "no earlier generation is kept: set KEEP_GENERATIONS"),
        (["promote", "--expected", "g9"], "g9 is expected, but g1 is served, without a canary"),
        (["rollback", "--expected", "g9"], "g9 is expected, but g1 is served, without a canary"),
        (["weights", "spring", "default"], "'default' is no weight"),
        (["weights", "spring"], "no variant has a weight above 0"),
        (["weights", "spring 2021", "default=1"], "not a valid name"),
        (["weights", "spring", "default=1", "steep=1"], "steep is not served"),
        *((["weights", "spring", "x=1", "--days", n], "or equal to 3650") for n in ("1e8", "inf")),
        *(
            (["weights", "spring", "default=1", wrong], f"'{wrong}' is no weight")
            for wrong in ("steep=", "steep=-1", "=1", "steep=x", "a.b=1")
        ),
    ],
)
def test_an_impossible_command_prints_one_line_and_changes_nothing(
    setup: Setup, command: Command, arguments: list[str], said: str
) -> None:
    publish(setup, 1)
    before = setup.current
    done = command(*arguments)
    assert done.exit_code in {1, 2}
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
    assert setup.current == before


def test_an_unreachable_redis_is_reported(command: Command) -> None:
    done = command("history", REDIS_URL=f"redis://:secret@127.0.0.1:{free_port()}/0")
    assert done.exit_code == 1
    assert "REDIS_URL" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_weights_hold_at_once_and_end_with_the_experiment(setup: Setup, command: Command) -> None:
    publish(setup, 1)
    for days, given in ((7, ()), (0.5, ("--days", "0.5"))):
        done = command("weights", "spring", "default=3", *given)
        assert done.exit_code == 0, done.stderr
        experiment = setup.current.experiment
        assert experiment is not None
        assert (experiment.name, experiment.weights) == ("spring", {"default": 3})
        assert experiment.until_ms - experiment.since_ms == days * DAY_MS
        assert experiment.started == {"default": setup.served()}
        assert "Served, experiment spring (" in done.stdout
        assert "Decisions" not in done.stdout
    assert command("weights").exit_code == 0
    assert setup.current.experiment is None
