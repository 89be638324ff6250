"""The engine that DOCKER_HOST names, through Docker's command line."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_CALL_S: Final = 120
_SAID: Final = 2_000
"""characters kept from the end of a failed command's output"""
_PROJECT: Final = "com.docker.compose.project"
_SERVICE: Final = "com.docker.compose.service"


class CheckError(RuntimeError):
    """The engine, or a container, did not behave as expected."""


@dataclass(frozen=True, slots=True)
class Container:
    """The engine's information about a container."""

    id: str
    service: str
    status: str
    """`running`, `exited`, `restarting`, ..."""
    health: str
    """`healthy`, `unhealthy`, `starting`; the status, without a health check"""
    exit_code: int
    restarts: int
    address: str
    """in the project's network, empty if it does not run"""
    volumes: tuple[str, ...]

    @property
    def is_well(self) -> bool:
        """Whether it is working, or has completed its job."""
        done = self.status == "exited" and self.exit_code == 0
        return done or self.health in ("healthy", "running")


def docker(
    *arguments: str,
    within_s: float = _CALL_S,
    environment: Mapping[str, str] | None = None,
    merged: bool = False,
) -> str:
    """Run a command of Docker's, and return its output, with standard error if `merged`.

    Raises:
        CheckError: it failed, or did not end in time.
    """
    said = f"docker {' '.join(arguments)}"
    try:
        code, out, err = _run(("docker", *arguments), within_s, environment)
    except subprocess.TimeoutExpired:
        raise CheckError(f"{said}: not done within {within_s:g} s") from None
    if code != 0:
        raise CheckError(f"{said}: exit code {code}: {(err.strip() or out.strip())[-_SAID:]}")
    return out + err if merged else out


def _run(
    argv: Sequence[str], within_s: float, environment: Mapping[str, str] | None
) -> tuple[int, str, str]:
    """Return exit code, output and errors of a program that leads its own process group.

    So Ctrl-C reaches only this process, and a plugin of Docker's ends with the program.
    """
    with subprocess.Popen(
        argv,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        try:
            out, err = process.communicate(timeout=within_s)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return process.returncode, out, err


def versions() -> str:
    """Return the versions of engine and Compose.

    Raises:
        CheckError: no engine answers, or Compose is missing: with the requirements.
    """
    if shutil.which("docker") is None:
        raise CheckError("there is no `docker`: install Docker with Compose 2.24 or newer")
    try:
        engine = docker("version", "--format", "{{.Server.Version}}").strip()
    except CheckError as error:
        raise CheckError(f"start Docker, or set DOCKER_HOST to where it listens: {error}") from None
    return f"Docker {engine}, Compose {docker('compose', 'version', '--short').strip()}"


def containers_of(project: str) -> list[Container]:
    """Return all containers of a project, running or not."""
    names = docker("ps", "--all", "--quiet", "--filter", f"label={_PROJECT}={project}").split()
    if not names:
        return []
    return [_container(said) for said in json.loads(docker("inspect", *names))]


def left_of(project: str, volumes: set[str]) -> list[str]:
    """Return what the engine still has of a project, including its containers' volumes."""
    label = f"label={_PROJECT}={project}"
    left = [f"container {one}" for one in docker("ps", "-aq", "--filter", label).split()]
    left += [f"network {one}" for one in docker("network", "ls", "-q", "--filter", label).split()]
    there = set(docker("volume", "ls", "--quiet").split())
    named = set(docker("volume", "ls", "--quiet", "--filter", label).split())
    return left + [f"volume {one}" for one in sorted(named | (there & volumes))]


def image_sizes(images: list[str]) -> dict[str, int]:
    """Return image -> bytes."""
    said = json.loads(docker("image", "inspect", *images))
    return {name: one["Size"] for name, one in zip(images, said, strict=True)}


def _container(said: dict[str, Any]) -> Container:
    state = said["State"]
    networks = said["NetworkSettings"]["Networks"].values()
    return Container(
        id=said["Id"],
        service=said["Config"]["Labels"][_SERVICE],
        status=state["Status"],
        health=state.get("Health", {}).get("Status") or state["Status"],
        exit_code=state["ExitCode"],
        restarts=said["RestartCount"],
        address=next((network["IPAddress"] for network in networks), ""),
        volumes=tuple(one["Name"] for one in said["Mounts"] if one["Type"] == "volume"),
    )
