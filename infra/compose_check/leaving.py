"""The end: logs of a failed stack, and its complete removal."""

from typing import Final

from rich.console import Console

from infra.compose_check.engine import CheckError, docker, left_of
from infra.compose_check.stack import Stack

_LINES: Final = 30
_ALWAYS_SHOWN: Final = ("worker", "api")


def show_logs(stack: Stack, console: Console) -> None:
    """Print the state of all containers, and the last lines of unhealthy ones."""
    found = stack.containers()
    for one in found:
        state = f"{one.service:<12} {one.status:<10} {one.health:<10} {one.restarts} restarts"
        console.print(state, highlight=False)
    for one in found:
        if not one.is_well or one.service in _ALWAYS_SHOWN:
            said = docker("logs", "--tail", str(_LINES), one.id, merged=True)
            console.print(f"--- {one.service} {one.address}\n{said}", markup=False, highlight=False)


def remove(stack: Stack) -> None:
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
