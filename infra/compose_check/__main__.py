"""`python -m infra.compose_check`: builds, starts and checks the stack, and cleans up."""

import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import typer
from rich.console import Console
from rich.text import Text

from infra.compose_check import course
from infra.compose_check.engine import CheckError, docker, left_of, versions
from infra.compose_check.report import Report
from infra.compose_check.stack import Stack, new_stack
from infra.local.process import NotReadyError
from infra.local.run import INTERRUPTS, interruptible

_WIDTH_OF_A_FILE: Final = 120
_LINES: Final = 30
_ALWAYS_SHOWN: Final = ("worker", "api")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console() if sys.stdout.isatty() else Console(width=_WIDTH_OF_A_FILE)


@app.command()
def main() -> None:
    """Try docker-compose.yml on the engine that DOCKER_HOST names; exits with 1 if a step fails."""
    try:
        console.print(versions(), highlight=False)
    except CheckError as error:
        _say(error)
        raise typer.Exit(1) from None
    report = Report(console)
    with tempfile.TemporaryDirectory(prefix="compose-check-") as folder, interruptible():
        succeeded = _checked(new_stack(Path(folder)), report)
    console.print(f"{report.took_s:.0f} s")
    raise typer.Exit(int(not succeeded))


def _checked(stack: Stack, report: Report) -> bool:
    """Return whether all steps succeeded, including the cleanup."""
    try:
        stack.prepare()
        with _removed(stack, report):
            return _taken(stack, report)
    except KeyboardInterrupt:
        console.print("interrupted")
    except CheckError as error:
        _say(error)
    return False


def _taken(stack: Stack, report: Report) -> bool:
    """Return whether all steps succeeded; if one fails, print the containers' logs."""
    try:
        course.take(stack, report)
    except (CheckError, NotReadyError) as error:
        _say(error)
        _show_logs(stack)
        return False
    return True


@contextmanager
def _removed(stack: Stack, report: Report) -> Iterator[None]:
    """Remove the whole stack after the block, in any case.

    Raises:
        CheckError: something was left behind.
    """
    try:
        yield
    finally:
        # Ignore further interrupts: what is not removed here stays behind.
        before = {number: signal.signal(number, signal.SIG_IGN) for number in INTERRUPTS}
        with report.step("down, and nothing is left"):
            _remove(stack)
        for number, handler in before.items():
            signal.signal(number, handler)


def _show_logs(stack: Stack) -> None:
    """Print the state of all containers, and the last lines of unhealthy ones."""
    found = stack.containers()
    for one in found:
        state = f"{one.service:<12} {one.status:<10} {one.health:<10} {one.restarts} restarts"
        console.print(state, highlight=False)
    for one in found:
        if not one.is_well or one.service in _ALWAYS_SHOWN:
            said = docker("logs", "--tail", str(_LINES), one.id, merged=True)
            console.print(f"--- {one.service} {one.address}\n{said}", markup=False, highlight=False)


def _remove(stack: Stack) -> None:
    """Remove containers, networks, volumes and images.

    Raises:
        CheckError: `docker compose down --volumes` leaves some behind.
    """
    stack.down("--volumes", "--remove-orphans")
    left = left_of(stack.project, stack.volumes)
    for one in left:
        kind, name = one.split()
        docker(kind, "rm", *(["--force"] if kind == "container" else []), name)
    docker("image", "rm", "--force", *stack.images)
    if left:
        raise CheckError(f"left after `docker compose down --volumes`: {', '.join(left)}")


def _say(error: Exception) -> None:
    Console(stderr=True, soft_wrap=True).print(Text.assemble(("error ", "red"), str(error)))


if __name__ == "__main__":
    app()
