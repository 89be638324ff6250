"""One configuration of all programs: started as their users start them, fed and trained.

What stands in their environments is what the matrix's rows of the stack say, and nothing else. So a
value that has a row has been in force.
"""

import contextlib
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx

from contracts.keyspace import NEXT_FIELD, Keyspace
from contracts.messages import Interaction, Quote, encode
from contracts.topics import ALL as TOPICS
from contracts.topics import STREAMED, Topic
from infra.local.process import Command, free_port, start, stop
from runtime.kafka import broker as brokers
from runtime.kafka.config import KafkaConfig
from runtime.redis.stores import connect
from runtime.settings import SharedSettings
from tests.guarded import Guarded, Way
from tests.integration.conftest import log_ends
from tests.patience import PATIENCE_S, eventually
from tests.settings.rows import SETTINGS, File, Given, Program, Row, Value
from tests.settings.world import NEWCOMER, World, world, write_events, write_quotes
from trainer.settings_file import flat_fields, nested

PARTITIONS: Final = 2
TRAINER: Final = "tests.settings.trainer_of_few"
SHARED: Final = sorted(name.upper() for name in flat_fields(SharedSettings))
_MODULES: Final[Mapping[Program, tuple[str, ...]]] = {
    "workers": ("stream_processors",),
    "trainer": (TRAINER, "run"),
    "api": ("tests.api.patient",),  # as `python -m api`, on a busy machine, too
}
_OF_KAFKA: Final[Mapping[Given, tuple[Way, str]]] = {
    Given.SECURED: ("scram-512", "KAFKA_BOOTSTRAP_SERVERS"),
    Given.OPEN: ("unencrypted", "KAFKA_BOOTSTRAP_SERVERS"),
    Given.MUTUAL: ("certificate", "KAFKA_BOOTSTRAP_SERVERS"),
    Given.AUTHORITY: ("scram-512", "KAFKA_SSL_CA_FILE"),
    Given.CERTIFICATE: ("certificate", "KAFKA_SSL_CERTIFICATE_FILE"),
    Given.KEY: ("certificate", "KAFKA_SSL_KEY_FILE"),
    Given.PASSWORD: ("scram-512", "KAFKA_SASL_PASSWORD"),
    Given.TOKENS: ("oauthbearer", "KAFKA_SASL_TOKEN_URL"),
}
"""by which of the broker's ways, and of which setting there, a value is"""
KEYS: Final = ("k1", "k2")
"""Of `API_KEYS`, where a stack has any."""
KEY_OF_FILE: Final = "k3"
"""Of `API_KEYS_FILE`, where a stack has one: it reads."""


class Servers(NamedTuple):
    """What the stacks run on."""

    broker: str
    node_url: str
    cluster_url: str
    guarded: Guarded | None = None
    """the same broker, if it knows users"""


class Stack:
    """The programs of one stack, and what was published on it."""

    def __init__(self, name: str, matrix: Sequence[Row], servers: Servers, folder: Path) -> None:
        self.name = name
        self.matrix = matrix
        self.folder = folder
        self.servers = servers
        self._fresh = f"matrix.{name}_{time.time_ns()}-1"
        self.environments: dict[Program, dict[str, str]] = {
            program: {
                row.setting: self._resolve(row.setting, row.value, program)
                for row in matrix
                if row.stack == name and program in row.programs and row.value is not None
            }
            for program in SETTINGS
        }
        self.processes: dict[str, tuple[subprocess.Popen[bytes], Command]] = {}
        self.started_s: dict[str, float] = {}
        """program -> when it was started, of a clock that never goes back"""
        self.world = World(0)
        self.taken_out: set[str] = set()
        """users of whom nothing is left"""
        self.namespace = str(self.settings("workers").namespace)
        self.keyspace = Keyspace(self.namespace)
        self.kafka = KafkaConfig(
            bootstrap_servers=servers.broker, prefix=self.settings("workers").kafka.prefix
        )
        """how the test itself reaches it: as everyone"""

    # What it is configured as.

    def settings(self, program: Program, **other: Value) -> Any:
        """Return the settings that a program of the stack has, `other` ones in their place."""
        environment = self.environments[program] | {
            name: self._resolve(name, value, program)
            for name, value in other.items()
            if value is not None
        }
        for name in (name for name, value in other.items() if value is None):
            environment.pop(name, None)
        given: dict[str, Any] = {name.lower(): value for name, value in environment.items()}
        file = given.pop("trainer_settings_file", None)
        of_file = tomllib.loads(Path(file).read_text()) if file else {}
        of = SETTINGS[program]
        # All are given, so that none comes from this process's environment.
        defaults = {name: field.default for name, field in flat_fields(of).items()}
        return of(**nested(defaults | {k.lower(): v for k, v in of_file.items()} | given, of))

    @property
    def address(self) -> str:
        """Where the API answers."""
        return f"http://127.0.0.1:{self.api_port}"

    def url(self, path: str) -> str:
        """Return where the API answers a path."""
        private = self.settings("api").api_private_port
        port = private if private and path.startswith("/health/") else self.api_port
        return f"http://127.0.0.1:{port}{path}"

    @property
    def keyed(self) -> dict[str, str]:
        """The header of who may read of users and write."""
        return {"X-API-Key": KEYS[0]} if self.environments["api"].get("API_KEYS") else {}

    def _resolve(self, setting: str, value: Value, program: Program) -> str:
        if isinstance(value, File):
            path = self.folder / f"{setting.lower()}.toml"
            path.write_text(value.text)
            return str(path)
        if not isinstance(value, Given):
            return str(value)
        if value in _OF_KAFKA:
            way, name = _OF_KAFKA[value]
            users = self.servers.guarded
            return users.environment(program, way)[name] if users else self.servers.broker
        node = self.servers.node_url
        return {
            Given.BROKER: self.servers.broker,
            Given.BROKERS: f"127.0.0.1:{free_port()}, {self.servers.broker}",
            Given.NODE: node,
            Given.DATABASE: node.removesuffix("/0") + "/5",
            Given.CLUSTER: self.servers.cluster_url,
            Given.FRESH: self._fresh,
            Given.PORT: str(free_port()),
        }[value]

    # Its life.

    @contextlib.contextmanager
    def running(self) -> Iterator["Stack"]:
        """Run it, from recreated topics up to the first served lists."""
        client = brokers.admin(self.kafka)
        names = {self.kafka.topic(topic.name) for topic in TOPICS}
        brokers.delete(client, brokers.partitions_of(client).keys() & names)
        if self.servers.guarded:
            self.servers.guarded.grant(self.namespace, self.kafka.prefix)
        options = [part for t in STREAMED for part in ("--partitions", f"{t.name}={PARTITIONS}")]
        self.run("operations.topics", *options, environment=self._shared())
        self.store = connect(self.settings("workers").redis_url, "tests")
        try:
            self.start("workers")
            self.start("api")
            self.api_port = self._api_port()
            self.client = httpx.Client(
                base_url=self.address,
                timeout=PATIENCE_S,
                headers={"Content-Type": "application/json"},
            )
            self._await_answer("/health/ready")
            self._feed()
            self.start("trainer")
            self._await_answer("/v1/users/stranger/recommendations")
            yield self
        finally:
            stop(*self.processes.values())
            # A store that was named is left as it was.
            for key in self.store.scan_iter(f"{self.namespace}:*", count=1000):
                self.store.delete(key)
            self.store.close()

    def start(self, program: Program, name: str | None = None, **other: str) -> None:
        """Start a process of a program, with `other` settings on top of its own."""
        environment = self.environments[program] | other
        command = self.command(name or program, *_MODULES[program], environment=environment)
        self.started_s[name or program] = time.monotonic()
        self.processes[name or program] = (start(command), command)

    def stop(self, name: str) -> int:
        """End a process with SIGTERM; return its exit code."""
        process, command = self.processes.pop(name)
        stop((process, command))
        return process.returncode

    def run(self, *arguments: str, environment: Mapping[str, str], code: int = 0) -> str:
        """Run a program to its end; return what it printed."""
        name = "-".join(part for part in arguments if part.replace(".", "").isalpha())
        command = self.command(f"{name}-{time.time_ns()}", *arguments, environment=environment)
        process = start(command)
        assert process.wait(PATIENCE_S) == code, command.log.read_text()[-3000:]
        return command.log.read_text()

    def command(self, name: str, *arguments: str, environment: Mapping[str, str]) -> Command:
        """How to start a program with nothing but these settings."""
        # The suite's own environment may choose its servers by the same names.
        return Command(
            name=name,
            argv=("env", *(f"-u{s}" for s in SHARED), *_assigned(environment), sys.executable,
                  "-m", *arguments),
            log=self.folder / f"{name}.log",
            environment={"PYTHONUNBUFFERED": "1"},
        )  # fmt: skip

    def log(self, name: str) -> str:
        """Return what a process has printed."""
        return (self.folder / f"{name}.log").read_text()

    # What happens on it.

    def get(self, path: str, **query: object) -> Any:
        """Return an answer's JSON, None for 404."""
        answer = self.client.get(self.url(path), params=query, headers=self.keyed)
        return None if answer.status_code == 404 else answer.raise_for_status().json()

    def post(self, messages: Sequence[Quote | Interaction]) -> None:
        """Publish messages over HTTP."""
        body = b",".join(_typed(message) for message in messages)
        headers = self.keyed | {"Content-Type": "application/json"}
        answer = self.client.post("/v1/events", content=b"[" + body + b"]", headers=headers)
        assert answer.status_code == 202, answer.text
        self.world.quotes += [m for m in messages if isinstance(m, Quote)]
        self.world.events += [m for m in messages if isinstance(m, Interaction)]

    def wait_until_folded(self, topics: Iterable[Topic] = STREAMED) -> None:
        """Return when the positions in Redis are the logs' ends, in the order of the pipeline."""
        for topic in topics:
            ends = log_ends(self.kafka, topic.name, PARTITIONS)
            eventually(
                lambda topic=topic, ends=ends: self._are_positions(topic, ends),
                f"{topic.name} folded up to {ends}, see {self.folder}",
            )

    def _are_positions(self, topic: Topic, ends: Mapping[int, int]) -> bool:
        self._check_running()
        keys = {p: self.keyspace.position(topic, p) for p in range(PARTITIONS)}
        return ends == {p: int(self.store.hget(key, NEXT_FIELD) or 0) for p, key in keys.items()}

    def _check_running(self) -> None:
        for name, (process, _) in self.processes.items():
            code = process.poll()
            assert code is None, f"{name} ended with {code}: {self.log(name)[-3000:]}"

    def metric(self, port: int, sample: str) -> float:
        """Return a sample at /metrics of a program, 0 if it is not there."""
        lines = httpx.get(f"http://127.0.0.1:{port}/metrics").raise_for_status().text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(sample))

    def _feed(self) -> None:
        now_ms = time.time_ns() // 1_000_000 - 2_000
        self.world = world(now_ms)
        quotes, events = self.folder / "quotes.csv", self.folder / "interactions.csv"
        write_quotes(quotes, self.world.quotes)
        write_events(events, self.world.events)
        for kind, file in (("quotes", quotes), ("interactions", events)):
            arguments = ("producers", "replay", kind, str(file), "--speed", "max")
            self.run(*arguments, environment=self.environments["producers"])
        self.post(
            [Quote(instrument_id=3, price=33.25, size=4, ts=now_ms + 1_000)]
            + [Interaction(user_id=NEWCOMER, instrument_id=i, ts=now_ms + i) for i in (3, 1, 2)]
        )
        self.wait_until_folded()

    def _shared(self) -> dict[str, str]:
        """Return how `operations.topics` connects, which is a user of its own."""
        shared = {k: v for k, v in self.environments["workers"].items() if k in SHARED}
        login = {
            "KAFKA_SASL_USERNAME": "KAFKA_SASL_PASSWORD",
            "KAFKA_SSL_CERTIFICATE_FILE": "KAFKA_SSL_KEY_FILE",
        }
        for who, secret in login.items():
            if who in shared and self.servers.guarded:
                way: Any = "scram-512" if who == "KAFKA_SASL_USERNAME" else "certificate"
                of_topics = self.servers.guarded.environment("topics", way)
                shared |= {who: of_topics[who], secret: of_topics[secret]}
        return shared

    def _api_port(self) -> int:
        port = int(self.settings("api").api_port)
        if port:
            return port
        said = "Uvicorn running on"
        eventually(lambda: said in self.log("api"), f"the API's port in {self.folder}/api.log")
        line = next(line for line in self.log("api").splitlines() if said in line)
        return int(line.split(said)[1].split(":")[2].split()[0].rstrip('/",'))

    def _await_answer(self, path: str) -> None:
        def answers() -> bool:
            self._check_running()
            with contextlib.suppress(httpx.TransportError):
                return self.client.get(self.url(path), headers=self.keyed).status_code == 200
            return False

        eventually(answers, f"{path} answered, see {self.folder}")


def _assigned(environment: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in environment.items()]


def _typed(message: Quote | Interaction) -> bytes:
    kind = b"quote" if isinstance(message, Quote) else b"interaction"
    return b'{"type":"' + kind + b'",' + encode(message)[1:]
