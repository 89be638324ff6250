"""Commands of the stages in `dvc.yaml`: import events, split them, and write their measures."""

from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from trainer.commands.options import Seed, Split, TestShare, Worker, errors_reported, worker_rules
from trainer.evaluation.files import read_interactions
from trainer.evaluation.interactions import Interactions, Splitting
from trainer.evaluation.result import Evaluation
from trainer.evaluation.splits import Question

app = typer.Typer(
    help="Commands for evaluations run by DVC, in addition to `python -m trainer`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

File = Annotated[Path, typer.Argument(help="CSV, CSV.gz or Parquet: ts_ms, user_id, instrument_id")]
_DECIMALS: Final = 6
"""Of a measure: what changes beyond them is the machine's rounding, and no difference."""


@app.command()
def data(
    interactions: File,
    out: Annotated[Path, typer.Argument(help="Parquet file")],
    worker: Worker = None,
) -> None:
    """Check events and import them: the copy stays, whatever happens to the file."""
    with errors_reported():
        rules = worker_rules(worker or [])
        _write(out, read_interactions(interactions, rules.weights_of_types()))


@app.command()
def split(
    interactions: File,
    train: Annotated[Path, typer.Option(help="Parquet file to write: to learn from")],
    test: Annotated[Path, typer.Option(help="Parquet file to write: to be found")],
    split: Split = None,
    test_share: TestShare = 0.25,
    seed: Seed = 1,
    worker: Worker = None,
) -> None:
    """Split events as `python -m trainer evaluate` does."""
    with errors_reported():
        weights = worker_rules(worker or []).weights_of_types()
        splitting = split or Splitting.TEMPORAL
        parts = Question(interactions, None, None, splitting, test_share, seed, weights).split()
        _write(train, parts.train)
        _write(test, parts.test)


@app.command()
def measures(
    evaluation: Annotated[Path, typer.Argument(help="JSON of `python -m trainer evaluate --json`")],
    out: Annotated[Path, typer.Argument(help="JSON file: model -> measure -> value")],
) -> None:
    """Write an evaluation's measures, without intervals and times, so that DVC compares them."""
    found = msgspec.json.decode(evaluation.read_bytes(), type=Evaluation)
    of_models = {
        each.model: {
            name: round(measure.value, _DECIMALS)
            for name, measure in each.measured.metrics.items()
            if measure.value is not None
        }
        for each in found.models
    }
    out.write_bytes(msgspec.json.format(msgspec.json.encode(of_models)) + b"\n")


def _write(path: Path, events: Interactions) -> None:
    """Write events so that `read_interactions` reads the same."""
    columns = {
        "ts_ms": events.ts_ms,
        "user_id": pa.array(events.users, pa.string()),
        "instrument_id": events.items,
        "event": pa.array(events.events, pa.string()),
        # A value is all that is known of a transaction here: as much as one piece at that price.
        "price": pa.array(events.values, from_pandas=True),
        "quantity": np.ones(len(events)),
    }
    pq.write_table(pa.table(columns), path)


if __name__ == "__main__":
    app(prog_name="python -m trainer.versions")
