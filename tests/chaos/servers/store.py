"""A persistent Valkey, alone or as a cluster of six."""

import random
import resource
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import redis

from infra.local import store as stores
from infra.local.process import free_port
from runtime.redis.stores import Store
from tests.chaos.modes import AppendFsync
from tests.chaos.servers.restartable import Restartable
from tests.patience import PATIENCE_S

# A client waits as long as the tests do, not the 5 s of redis-py: a node that was just restarted
# reads its log first, and a busy machine takes its time.
CLIENT_OPTIONS: Final = {"decode_responses": True, "socket_timeout": PATIENCE_S}
_LOG: Final = "appendonlydir"
_NO_LIMIT: Final = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


class Node(Restartable):
    """One process of Valkey with its append-only file."""

    def __init__(self, folder: Path, appendfsync: AppendFsync, *options: str) -> None:
        server = stores.valkey(free_port(), folder)
        durable = ("--appendonly", "yes", "--appendfsync", appendfsync)
        # A write to a full disk must fail, not end the process.
        ignoring = ("sh", "-c", 'trap "" XFSZ; exec "$@"', "sh")
        argv = (*ignoring, *server.command.argv, *durable, *options)
        super().__init__(replace(server, command=replace(server.command, argv=argv)))
        self._folder = folder
        self._client = redis.Redis.from_url(server.address, **CLIENT_OPTIONS)

    def call(self, *command: str | int) -> Any:
        return self._client.execute_command(*command)

    def info(self, section: str) -> dict[str, Any]:
        """Return what it says of itself."""
        said: dict[str, Any] = self._client.info(section)
        return said

    def errors(self, kind: str) -> int:
        """Return how many calls it has answered with an error of a kind."""
        counts: dict[str, int] = self.info("errorstats").get(f"errorstat_{kind}", {})
        return counts.get("count", 0)

    def written(self) -> tuple[Path, int]:
        """Return the file that it appends to, and how long it is."""
        files = (self._folder / _LOG).glob("*.incr.aof")
        newest = max(files, key=lambda file: int(file.name.split(".")[-3]))
        return newest, newest.stat().st_size

    def lose_since(self, then: tuple[Path, int], rng: random.Random) -> int:
        """Forget some of what was written since then, as a machine without power does.

        Returns:
            How many bytes are lost.
        """
        file, size = self.written()
        if file != then[0]:
            return 0
        kept = rng.randint(then[1], size)
        with file.open("ab") as opened:
            opened.truncate(kept)
        return size - kept

    def fill_disk(self) -> None:
        _, size = self.written()
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def make_room_on_disk(self) -> None:
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, _NO_LIMIT)

    def forget(self) -> None:
        """Remove what it has on disk; it is down."""
        shutil.rmtree(self._folder / _LOG, ignore_errors=True)


class Single:
    """A store of one node."""

    def __init__(self, folder: Path, appendfsync: AppendFsync) -> None:
        self.nodes = [Node(folder, appendfsync)]

    @property
    def address(self) -> str:
        return self.nodes[0].address

    def masters(self) -> list[Node]:
        """Return the nodes that accept writes."""
        return self.nodes

    def start(self) -> None:
        for node in self.nodes:
            node.start()

    def await_ready(self) -> None:
        for node in self.nodes:
            node.await_ready()

    def answers(self) -> bool:
        """Whether every key can be read and written."""
        return all(node.answers() for node in self.nodes)

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()

    def lose_everything(self) -> None:
        """Remove what it kept; it is down."""
        for node in self.nodes:
            node.forget()

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def client(self) -> Store:
        return redis.Redis.from_url(self.address, **CLIENT_OPTIONS)
