"""`python -m tests.compose_check`: tests docker-compose.yml on the engine that DOCKER_HOST names.

It builds and starts the stack under a project name and ports of its own, checks every answer, kills
a worker, an API process, Kafka and Redis, and compares Redis with a recomputation of the log.
"""

import contextlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

import httpx

from infra.local.asking import await_subjects, connect_api
from infra.local.process import LOOPBACK, NotReadyError, free_port
from infra.local.requests import Subjects
from infra.local.run import interruptible
from tests.commands import ROOT

_BUILT_S: Final = 1_800
_WELL_S: Final = 300
"""Long, for a busy machine: each wait ends as soon as the condition holds."""
_PROFILES: Final = ("simulate", "archive")
_WORKERS: Final = 2
_KILL: Final = ("sh", "-c", "kill -9 -1")
"""Ends all processes of a container but its init, which ends with its program: as after a crash."""


class CheckError(RuntimeError):
    """The stack did not behave as expected."""


class Stack:
    """A project of Compose."""

    def __init__(self) -> None:
        self.name = f"tickrec-check-{secrets.token_hex(3)}"
        self.ports = {name: free_port() for name in ("API_PORT", "KAFKA_PORT", "REDIS_PORT")}
        self.api_url = f"http://{LOOPBACK}:{self.ports['API_PORT']}"
        # What is expected follows from the settings' defaults, so nobody's own ones are passed on.
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if name in ("PATH", "HOME") or name.startswith("DOCKER_")
        } | {name: str(port) for name, port in self.ports.items()}
        self._environment |= {"ARCHIVE_WAREHOUSE": "/archive"}
        self._environment |= {"TRAIN_EVERY_SECONDS": "10", "KEEP_GENERATIONS": "1"}

    def compose(self, *arguments: str, within_s: float = _WELL_S) -> str:
        """Run a command of Compose; return its output."""
        profiles = [f"--profile={name}" for name in _PROFILES]
        named = ("compose", "--env-file", os.devnull, "--project-name", self.name)
        return self.docker(*named, *profiles, *arguments, within_s=within_s)

    def docker(self, *arguments: str, within_s: float = _WELL_S) -> str:
        """Run a command of Docker's; return its output."""
        return _run("docker", *arguments, within_s=within_s, environment=self._environment)

    def up(self) -> None:
        """Start what does not run, and wait until all is healthy."""
        scaled = ("--scale", f"worker={_WORKERS}")
        self.compose("up", "--detach", "--wait", *scaled, within_s=_WELL_S)

    def kill(self, service: str) -> None:
        """Kill a process of the service: the engine starts it again, or we do if it is a server."""
        if service in ("kafka", "redis"):
            # The engine does not start again what its own command killed.
            self.compose("kill", "--signal", "KILL", service)
            self.compose("start", service)
            return
        container = self.compose("ps", "--quiet", service).split()[0]
        with contextlib.suppress(CheckError):  # the shell that kills dies, too
            self.docker("exec", container, *_KILL)
        _until(lambda: self._restarts(container) > 0, f"{service} is started again")

    def remove(self) -> None:
        """Remove containers, networks and volumes, and see that none is left."""
        self.compose("down", "--volumes", "--remove-orphans", within_s=_WELL_S)
        label = f"label=com.docker.compose.project={self.name}"
        kinds = (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
        left = [self.docker(*kind, "--quiet", "--filter", label) for kind in kinds]
        if any(left):
            raise CheckError(f"left behind: {' '.join(left)}")

    def logs(self) -> str:
        """Return the state of the containers, and the end of their logs."""
        return self.compose("ps", "--all") + self.compose("logs", "--tail", "30")

    def _restarts(self, container: str) -> int:
        return int(self.docker("inspect", "--format", "{{.RestartCount}}", container))


def check(stack: Stack) -> None:
    """Run all steps.

    Raises:
        CheckError, NotReadyError: one failed.
    """
    with _step("the images are built"):
        stack.compose("build", "--quiet", within_s=_BUILT_S)
    with _step("all is up"):
        stack.up()
    with connect_api(stack.api_url) as client:
        subjects = await_subjects(time.sleep, client, f"docker compose -p {stack.name} logs")
        with _step("every answer is right"):
            _python("infra.local", "smoke", "--url", stack.api_url)
        with _step("the trainer's command returns to the previous generation"):
            rollback = ("exec", "-T", "trainer", "python", "-m", "trainer", "rollback")
            _until(lambda: bool(stack.compose(*rollback)), "there are two generations")
        for service in ("worker", "api", "kafka", "redis"):
            with _step(f"{service} is killed, and all works again"):
                stack.kill(service)
                since_ms = time.time_ns() // 1_000_000
                stack.up()
                _until(lambda ms=since_ms: _newest(client, subjects) > ms, "quotes are folded")  # type: ignore[misc]
    with _step("Redis holds what the log says") as seen:
        stack.compose("stop", "producer")
        where = ("--kafka", f"localhost:{stack.ports['KAFKA_PORT']}")
        where += ("--redis", f"redis://{LOOPBACK}:{stack.ports['REDIS_PORT']}/0")
        _until(lambda: _recounted(where, seen), "all is folded, and equal")


def _recounted(where: tuple[str, ...], seen: list[str]) -> bool:
    seen[:] = [_python("tests.chaos.recount", *where).strip()]
    return True


def _newest(client: httpx.Client, subjects: Subjects) -> int:
    """Return the time of an instrument's newest quote, in milliseconds."""
    one = subjects.instrument_id
    said = client.get(f"/v1/quotes/latest?instruments={one}").raise_for_status().json()
    return int(said["quotes"][str(one)]["ts"])


def _python(*arguments: str) -> str:
    return _run(sys.executable, "-m", *arguments, within_s=_WELL_S, environment=dict(os.environ))


def _run(*argv: str, within_s: float, environment: dict[str, str]) -> str:
    """Run a command to its end; return what it printed.

    Raises:
        CheckError: it failed, or did not end in time.
    """
    try:
        done = subprocess.run(
            argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=within_s,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise CheckError(f"{' '.join(argv)}: not done within {within_s:g} s") from None
    if done.returncode != 0:
        raise CheckError(
            f"{' '.join(argv)}: exit code {done.returncode}: {done.stdout}{done.stderr}"
        )
    return done.stdout


def _until(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds.

    Raises:
        CheckError: it does not, in time.
    """
    deadline = time.monotonic() + _WELL_S
    why: Exception | None = None
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except (CheckError, httpx.HTTPError) as error:
            why = error
        time.sleep(0.5)
    raise CheckError(f"not within {_WELL_S} s: {what} ({why})")


@contextlib.contextmanager
def _step(what: str) -> Iterator[list[str]]:
    """Print a step and how long it took; also what the block adds to the list."""
    began_s, seen, mark = time.monotonic(), list[str](), "FAILS"
    try:
        yield seen
        mark = "well "
    finally:
        print(mark, f"{time.monotonic() - began_s:6.1f} s ", ": ".join([what, *seen]), flush=True)


def main() -> int:
    """Return 0 if all went well."""
    stack, well = Stack(), False
    with interruptible():
        try:
            check(stack)
            well = True
        except (CheckError, NotReadyError) as error:
            print("error", error, stack.logs(), sep="\n", flush=True)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        finally:
            with _step("down, and nothing is left"):
                stack.remove()
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
