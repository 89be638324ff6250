"""`python -m tests.chaos`: many faults under load, for many seeds, and the results."""

import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from confluent_kafka import KafkaException
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table

from contracts.affinities import AffinityName
from runtime.kafka.broker import BrokerError
from tests.chaos.faults.kinds import KINDS
from tests.chaos.modes import AppendFsync, Mode, StoreKind, UserWeight, every_mode
from tests.chaos.run import Outcome, run
from tests.chaos.world import ChaosError

console = Console()


def main(
    *,
    seeds: Annotated[int, typer.Option(min=1, help="how many runs, of each mode")] = 1,
    faults: Annotated[int, typer.Option(min=1, help="in each run")] = 50,
    first_seed: Annotated[int, typer.Option(help="of the first run; the next ones count up")] = 1,
    records_per_s: Annotated[int, typer.Option(min=20, help="quotes and interactions")] = 300,
    affinity: Annotated[AffinityName, typer.Option()] = "binary",
    user_weight: Annotated[UserWeight, typer.Option()] = "none",
    store: Annotated[StoreKind, typer.Option()] = "single",
    appendfsync: Annotated[AppendFsync, typer.Option()] = "always",
    brokers: Annotated[int, typer.Option(help="1 or 3")] = 1,
    modes: Annotated[
        bool, typer.Option("--modes", help="every affinity, user weight, store and fsync")
    ] = False,
    long_outages: Annotated[
        bool, typer.Option("--long-outages", help="servers are away for 100 s, once a run each")
    ] = False,
    secured: Annotated[
        bool, typer.Option("--secured", help="workers log in at Kafka, encrypted, with few rights")
    ] = False,
    steps: Annotated[bool, typer.Option("--steps", help="tell what happened in good runs")] = False,
    only: Annotated[list[str] | None, typer.Option(help="a kind of fault; may be repeated")] = None,
) -> None:
    """Inject faults into workers under load, and compare Redis with the Kafka log."""
    if brokers not in (1, 3):
        raise typer.BadParameter("1 or 3", param_hint="--brokers")
    servers = (store, appendfsync, brokers)
    mode = Mode(affinity, user_weight, *servers, long_outages=long_outages, secured=secured)
    possible = [name for name, kind in KINDS.items() if kind.happens(mode)]
    if impossible := set(only or ()) - set(possible):
        raise typer.BadParameter(
            f"{', '.join(impossible)}: not in this mode, only {', '.join(possible)}",
            param_hint="--only",
        )
    table = Table(
        *("seed", "mode", "faults", "records", "worker restarts", "duration", "result"), box=None
    )
    failed, its = False, partial(run, faults=faults, records_per_s=records_per_s, only=only)
    for seed in range(first_seed, first_seed + seeds):
        for one in every_mode(mode) if modes else [mode]:
            outcome = _run(its, seed, one, steps=steps)
            failed |= outcome is None
            table.add_row(str(seed), str(one), *_row(faults, outcome))
    console.print(table)
    raise typer.Exit(int(failed))


def _run(its: Callable[..., Outcome], seed: int, mode: Mode, *, steps: bool) -> Outcome | None:
    """Run one seed in one mode; on failure, print what is wrong and return None."""
    folder = Path(tempfile.mkdtemp(prefix=f"tickrec-chaos-{seed}-"))
    name = f"seed {seed} ({mode})"
    with console.status(name) as status:
        try:
            outcome = its(folder, seed, mode, lambda what: status.update(f"{name}, {what}"))
        except (ChaosError, TimeoutError, RedisError, KafkaException, BrokerError) as error:
            console.print(f"[red]{name} failed[/], its logs are in {folder}")
            _print_steps(folder)
            console.print(f"{type(error).__name__}: {error}", markup=False, highlight=False)
            return None
    if steps:
        _print_steps(folder)
    shutil.rmtree(folder)
    console.print(f"{name}: {outcome.records:,} records, equal", highlight=False)
    return outcome


def _print_steps(folder: Path) -> None:
    console.print((folder / "steps.log").read_text(), markup=False, highlight=False)


def _row(faults: int, outcome: Outcome | None) -> list[str]:
    if outcome is None:
        return [str(faults), "", "", "", "[red]different[/]"]
    return [
        str(outcome.faults),
        f"{outcome.records:,}",
        str(outcome.restarts),
        f"{outcome.duration_s:.0f} s",
        "; ".join(["[green]equal[/]", *outcome.notes]),
    ]


if __name__ == "__main__":
    typer.run(main)
