"""The stack of docker-compose.yml, as a project with its own images and ports."""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from infra.compose_check.engine import Container, containers_of, docker
from infra.local.paths import PROJECT
from infra.local.process import LOOPBACK, free_port

_PROFILES: Final = ("simulate", "archive", "observe")
_LEFT_OUT: Final = "grafana"
"""It is not part of the check, and is another large image."""
_CALL_S: Final = 120
_BUILD_S: Final = 1_800
_UP_S: Final = 600
_KEYS: Final = "/keys/keys.json"


@dataclass(slots=True)
class Stack:
    """Runs Compose for one project."""

    project: str
    override: Path
    """where `prepare` writes the differences from docker-compose.yml"""
    kafka_port: int = field(default_factory=free_port)
    redis_port: int = field(default_factory=free_port)
    api_port: int = field(default_factory=free_port)
    prometheus_port: int = field(default_factory=free_port)
    images: list[str] = field(default_factory=list)
    """images that are built"""
    volumes: set[str] = field(default_factory=set)
    """volumes seen in containers"""

    @property
    def kafka(self) -> str:
        """Kafka's address on this machine."""
        return f"localhost:{self.kafka_port}"

    @property
    def redis(self) -> str:
        """The address of Redis."""
        return f"redis://{LOOPBACK}:{self.redis_port}/0"

    @property
    def api_url(self) -> str:
        """The address of nginx."""
        return f"http://{LOOPBACK}:{self.api_port}"

    @property
    def prometheus_url(self) -> str:
        """The address of Prometheus."""
        return f"http://{LOOPBACK}:{self.prometheus_port}"

    def compose(self, *arguments: str, within_s: float = _CALL_S) -> str:
        """Run a Compose command, and return its output.

        Raises:
            CheckError: it failed, or did not end in time.
        """
        # Without the user's .env: the expected state follows from the settings' defaults.
        named = ("compose", "--env-file", os.devnull, "--project-name", self.project)
        files = ("--file", str(PROJECT / "docker-compose.yml"), "--file", str(self.override))
        profiles = [f"--profile={name}" for name in _PROFILES]
        argv = (*named, *files, *profiles, *arguments)
        return docker(*argv, within_s=within_s, environment=self._environment())

    def prepare(self) -> None:
        """Write the differences from docker-compose.yml.

        Raises:
            CheckError: Compose rejects the file.
        """
        self.override.write_text("{}")
        said = self.compose("--profile=keys", "config", "--format", "json")
        services = json.loads(said)["services"]
        images = {
            name: f"{self.project}/{service['image']}"
            for name, service in services.items()
            if "build" in service
        }
        self.images = sorted(set(images.values()))
        self.override.write_text(override_of(images))
        self.compose("config", "--quiet")

    def build(self) -> None:
        """Build the images."""
        self.compose("build", "--quiet", within_s=_BUILD_S)

    def make_key(self) -> str:
        """Create the first key, which has all rights, and return it."""
        return self.compose("run", "--rm", "keys").split()[-1]

    def up(self, **scale: int) -> None:
        """Start everything, some services scaled, and wait until all are healthy."""
        counts = [f"--scale={name}={n}" for name, n in scale.items()]
        self.compose("up", "--detach", "--wait", "--no-build", *counts, within_s=_UP_S)

    def down(self, *options: str) -> None:
        """Remove containers and network."""
        self.containers()
        self.compose("down", *options, within_s=_UP_S)

    def containers(self, service: str | None = None) -> list[Container]:
        """Return the containers, all or those of one service, running or not."""
        found = containers_of(self.project)
        self.volumes.update(name for one in found for name in one.volumes)
        return [one for one in found if service in (None, one.service)]

    def only(self, service: str) -> Container:
        """Return the only container of a service."""
        (found,) = self.containers(service)
        return found

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "API_ADDRESS": LOOPBACK,
            "API_HOSTS": "",
            "API_KEYS": "",
            "API_KEYS_FILE": _KEYS,
            "API_PORT": str(self.api_port),
            "ARCHIVE_WAREHOUSE": "/archive",
            "KAFKA_PORT": str(self.kafka_port),
            "PROMETHEUS_PORT": str(self.prometheus_port),
            "REDIS_PORT": str(self.redis_port),
        }


def new_stack(folder: Path) -> Stack:
    """Return a stack with a unique name."""
    return Stack(f"tickrec-check-{secrets.token_hex(3)}", folder / "override.yml")


def override_of(images: Mapping[str, str]) -> str:
    """Return an override for Compose: images of services, and one that is left out."""
    lines = [f"  {name}: {{image: {json.dumps(image)}}}" for name, image in images.items()]
    left_out = f"  {_LEFT_OUT}: {{profiles: !override [{_LEFT_OUT}]}}"
    return "\n".join(["services:", *lines, left_out, ""])
