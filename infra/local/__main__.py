"""`python -m infra.local`: the whole stack on this machine, without Docker."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import typer
from dotenv import load_dotenv
from rich.console import Console
from rich.text import Text

from infra.local import background, commands
from infra.local.kafka.jars import NoKafkaError
from infra.local.paths import HOME, PROJECT
from infra.local.process import NotReadyError
from infra.local.run import BusyError
from infra.local.stack import BrokerKind, Options
from runtime.settings import SettingsError

_WIDTH_OF_A_FILE: Final = 120

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console() if sys.stdout.isatty() else Console(width=_WIDTH_OF_A_FILE)

_BROKERS: Final = (
    "tansu needs nothing; kafka is Apache Kafka, which needs Java and Maven; kafka-secured is that "
    "with TLS, passwords and few rights"
)
StartedBroker = Annotated[
    Literal["tansu", "kafka", "kafka-secured"], typer.Option("--broker", help=_BROKERS)
]
Broker = Annotated[
    BrokerKind,
    typer.Option(help=f"{_BROKERS}; own is that of KAFKA_BOOTSTRAP_SERVERS, and none is started"),
]
Workers = Annotated[int, typer.Option(min=1, help="stream processor processes")]
ApiPort = Annotated[int, typer.Option(min=0, max=65535, help="0: the system chooses")]
UsualApiPort = Annotated[
    int | None, typer.Option(min=0, max=65535, help="that of the latest start, else from 8000 on")
]
Simulate = Annotated[
    bool | None, typer.Option(help="simulate quotes and events; unless the broker is your own")
]
Archive = Annotated[
    bool, typer.Option(help="run an archive, which the API reads past what Redis retains")
]


@app.command()
def demo(
    broker: StartedBroker = "tansu", workers: Workers = 1, api_port: UsualApiPort = None
) -> None:
    """Start the stack with simulated quotes and events, show responses, run until Ctrl-C."""
    with _errors_said():
        try:
            commands.demo(console, HOME / "demo", Options(broker, workers, api_port))
        except KeyboardInterrupt:
            console.print("\nall stopped")


@app.command()
def smoke(
    broker: StartedBroker = "tansu",
    workers: Workers = 1,
    api_port: ApiPort = 0,
    url: Annotated[str | None, typer.Option(help="of a stack that runs already")] = None,
) -> None:
    """Start the stack, check every endpoint's answer, stop it; exits with 1 if one is wrong."""
    with _errors_said():
        if url is not None:
            well = commands.smoke_url(console, url)
        else:
            well = commands.smoke(console, HOME / "smoke", Options(broker, workers, api_port))
        raise typer.Exit(0 if well else 1)


@app.command()
def up(
    broker: Broker = "tansu",
    workers: Workers = 1,
    api_port: UsualApiPort = None,
    *,
    simulate: Simulate = None,
    archive: Archive = False,
) -> None:
    """Start the stack in the background, on the data of the latest one with such a broker.

    Its programs take the settings of this environment and, as in Compose, of a file `.env`.
    """
    load_dotenv(PROJECT / ".env")
    with _errors_said():
        # Simulated quotes must not mix with real ones, except on request.
        simulated = broker != "own" if simulate is None else simulate
        options = Options(broker, workers, api_port, simulated, archive, durable=True)
        background.up(console, HOME / "up", options)


@app.command()
def status() -> None:
    """Show the processes that `up` started; exits with 1 if none runs."""
    raise typer.Exit(0 if background.status(console, HOME / "up") else 1)


@app.command()
def down() -> None:
    """Stop what `up` started; its data stay."""
    with _errors_said():
        background.down(console, HOME / "up")


@app.command(hidden=True)
def supervise(folder: Path, options: str) -> None:
    """Run the stack of `up`, which starts this in the background."""
    with _errors_said():
        try:
            background.supervise(console, folder, msgspec.json.decode(options, type=Options))
        except KeyboardInterrupt:
            console.print("all stopped")


@contextmanager
def _errors_said() -> Iterator[None]:
    """Exit with 1 and a plain message on expected errors."""
    try:
        yield
    except (BusyError, NotReadyError, NoKafkaError, SettingsError) as error:
        console.print(Text.assemble(("error ", "red"), str(error)), soft_wrap=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
