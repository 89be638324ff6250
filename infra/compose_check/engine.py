"""The engine that DOCKER_HOST names, asked through Docker's command line."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_CALL_S: Final = 120
_SAID: Final = 2_000
"""characters at the end of what a failed command said"""
_PROJECT: Final = "com.docker.compose.project"
_SERVICE: Final = "com.docker.compose.service"


class CheckError(RuntimeError):
    """The engine, or what runs on it, did not do what it should."""


@dataclass(frozen=True, slots=True)
class Container:
    """What the engine says of a container."""

    id: str
    service: str
    status: str
    """`running`, `exited`, `restarting`, ..."""
    health: str
    """`healthy`, `unhealthy`, `starting`; the status, where nothing checks it"""
    exit_code: int
    restarts: int
    address: str
    """in the project's network, empty if it does not run"""
    volumes: tuple[str, ...]

    @property
    def is_well(self) -> bool:
        """Whether it does what it is there for, or has done it."""
        done = self.status == "exited" and self.exit_code == 0
        return done or self.health in ("healthy", "running")


def docker(
    *arguments: str,
    within_s: float = _CALL_S,
    environment: Mapping[str, str] | None = None,
    merged: bool = False,
) -> str:
    """Run a command of Docker's, and return what it printed, with its standard error if `merged`.

    Raises:
        CheckError: it failed, or did not end in time.
    """
    said = f"docker {' '.join(arguments)}"
    try:
        done = subprocess.run(
            ("docker", *arguments),
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
    except FileNotFoundError:
        raise CheckError("there is no `docker` here: install Docker with Compose 2.24") from None
    except subprocess.TimeoutExpired:
        raise CheckError(f"{said}: not done within {within_s:g} s") from None
    if done.returncode != 0:
        why = (done.stderr.strip() or done.stdout.strip())[-_SAID:]
        raise CheckError(f"{said}: exit code {done.returncode}: {why}")
    return done.stdout + done.stderr if merged else done.stdout


def versions() -> str:
    """Return the versions of engine and Compose.

    Raises:
        CheckError: no engine answers, or Compose is missing: says what is needed.
    """
    try:
        engine = docker("version", "--format", "{{.Server.Version}}").strip()
    except CheckError as error:
        reason = str(error).splitlines()[-1]
        raise CheckError(
            f"no engine answers, start Docker or set DOCKER_HOST to where it listens: {reason}"
        ) from None
    return f"Docker {engine}, Compose {docker('compose', 'version', '--short').strip()}"


def containers_of(project: str) -> list[Container]:
    """Return all containers of a project, whether they run or not."""
    names = docker("ps", "--all", "--quiet", "--filter", f"label={_PROJECT}={project}").split()
    if not names:
        return []
    return [_container(said) for said in json.loads(docker("inspect", *names))]


def left_of(project: str, volumes: set[str]) -> list[str]:
    """Return what the engine still has of a project, or of volumes that its containers had."""
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
