"""`python -m tests.chaos`: many faults under load, seed after seed, and what came out."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tests.chaos.run import run
from tests.chaos.world import ChaosError


def main(
    seeds: Annotated[int, typer.Option(min=1, help="how many runs")] = 1,
    faults: Annotated[int, typer.Option(min=1, help="in each run")] = 50,
    first_seed: Annotated[int, typer.Option(help="of the first run; the next ones count up")] = 1,
    records_per_s: Annotated[int, typer.Option(min=20, help="quotes and interactions")] = 300,
) -> None:
    """Run the workers into faults under load, and compare Redis with the Kafka log."""
    console = Console()
    table = Table("seed", "faults", "records", "worker restarts", "duration", "result", box=None)
    failed = False
    for seed in range(first_seed, first_seed + seeds):
        folder = Path(tempfile.mkdtemp(prefix=f"tickrec-chaos-{seed}-"))
        with console.status(f"seed {seed}") as status:
            try:
                outcome = run(
                    folder,
                    seed,
                    faults,
                    records_per_s,
                    lambda what, seed=seed: status.update(f"seed {seed}, {what}"),
                )
            except (ChaosError, TimeoutError) as error:
                failed = True
                console.print(f"[red]seed {seed} failed[/], its logs are in {folder}")
                console.print((folder / "steps.log").read_text(), markup=False, highlight=False)
                console.print(str(error), markup=False, highlight=False)
                table.add_row(str(seed), str(faults), "", "", "", "[red]different[/]")
                continue
        shutil.rmtree(folder)
        console.print(f"seed {seed}: {outcome.records:,} records, equal", highlight=False)
        table.add_row(
            str(seed),
            str(outcome.faults),
            f"{outcome.records:,}",
            str(outcome.restarts),
            f"{outcome.duration_s:.0f} s",
            "; ".join(["[green]equal[/]", *outcome.notes]),
        )
    console.print(table)
    raise typer.Exit(int(failed))


if __name__ == "__main__":
    typer.run(main)
