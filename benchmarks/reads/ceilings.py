"""How near ours is to what cannot be beaten here: the same answer for nothing, and the store alone.

- `bare ASGI` and `bare protocol` say the bytes of one of our answers, head and all, whatever is
  asked, see `bare`: what is left to ours is finding the answer out.
- `GET, pipelined` is the store itself: redis-benchmark asks for the value that the answer is made
  of, 16 commands at a time on 64 connections. It gets the server's core, the store keeps its own.
"""

import contextlib
import csv
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

import httpx

from benchmarks.contests import Say
from benchmarks.reads import cores
from benchmarks.reads.answered import Answered
from benchmarks.reads.contests import CONNECTIONS, TICKREC, Turn, answered, turn
from benchmarks.reads.data import GENERATION
from benchmarks.reads.measured import Measured, Pair
from benchmarks.reads.paths import Endpoint, similar
from benchmarks.reads.scene import Asked, Scene
from benchmarks.reads.watch import Watch
from benchmarks.stage import ContenderError
from infra.local.process import LOOPBACK, free_port

_ASGI: Final = "bare ASGI"
_PROTOCOL: Final = "bare protocol"
_PIPELINED: Final = "GET, pipelined"
_PIPELINE: Final = 16
_GETS_A_SECOND: Final = 100_000
"""how many redis-benchmark does for each second that the others have: it takes no time"""
_END_WITHIN_S: Final = 120
_MS: Final = 1e-3


def ceilings(scene: Scene, ours: Asked, rounds: int, seconds: int, say: Say) -> Measured:
    """Measure them beside ours, in the same rounds."""
    endpoint = similar(scene.size)
    with contextlib.ExitStack() as stack:
        with cores.on(scene.server_core):
            asgi = stack.enter_context(bare(scene, "asgi", endpoint, ours))
            protocol = stack.enter_context(bare(scene, "protocol", endpoint, ours))
        turns = {
            TICKREC: turn(scene, endpoint, ours),
            _ASGI: turn(scene, endpoint, asgi),
            _PROTOCOL: turn(scene, endpoint, protocol),
        }
        # redis-benchmark comes with either store's package, under the name of that store.
        tool = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
        if tool is not None:
            turns[_PIPELINED] = _pipelined(scene, tool, endpoint)
        return Measured(
            name="reads: ceilings",
            work=f"{endpoint}, {CONNECTIONS} connections, against what knows the answer already"
            + ("" if tool else "; no redis-benchmark on PATH, so the store alone is left out"),
            runs=answered(turns, rounds, seconds, say),
            pairs=[Pair(TICKREC, name) for name in turns if name != TICKREC],
            store=scene.store.product,
        )


@contextlib.contextmanager
def bare(scene: Scene, kind: str, endpoint: Endpoint, ours: Asked) -> Iterator[Asked]:
    """Run a server for the block that says one of our answers."""
    file, port = scene.folder / f"{kind}.answer", free_port()
    file.write_bytes(_whole(httpx.get(f"http://{LOOPBACK}:{ours.port}{endpoint.paths[0]}")))
    argv = (sys.executable, "-m", "benchmarks.reads.bare", kind, str(port), str(file))
    with scene.serving(f"bare-{kind}", port, argv, "/") as asked:
        yield asked


def _whole(answer: httpx.Response) -> bytes:
    """Return an answer as it came over the wire."""
    if not answer.is_success:
        raise ContenderError(f"{answer.url} is answered with {answer.status_code}: {answer.text}")
    head = b"".join(b"%b: %b\r\n" % pair for pair in answer.headers.raw)
    return b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (head, answer.content)


def _pipelined(scene: Scene, tool: str, endpoint: Endpoint) -> Turn:
    """Return how to let redis-benchmark ask the store."""
    instrument = endpoint.paths[0].split("/")[-2]
    key = scene.keyspace.model_similar(GENERATION, instrument)
    port = scene.store.address.rpartition(":")[2].partition("/")[0]

    def ask(seconds: int) -> Answered:
        gets = _GETS_A_SECOND * seconds
        argv = [
            *(tool, "-h", LOOPBACK, "-p", port, "-n", str(gets), "-c", str(CONNECTIONS)),
            *("-P", str(_PIPELINE), "--csv", "GET", key),
        ]
        watch = Watch({"server": [scene.store_pid]})
        with cores.on(scene.server_core):
            said = subprocess.run(
                argv, capture_output=True, text=True, timeout=_END_WITHIN_S, check=True
            )
        return _read(said.stdout, gets, watch)

    return ask


def _read(said: str, gets: int, watch: Watch) -> Answered:
    """Return what redis-benchmark says as a row of CSV under a row of names."""
    row = list(csv.DictReader(said.splitlines()))[-1]
    return Answered(
        records=gets,
        seconds=gets / float(row["rps"]),
        cpu_s=watch.cpu_s(),
        p50_s=float(row["p50_latency_ms"]) * _MS,
        p99_s=float(row["p99_latency_ms"]) * _MS,
        max_s=float(row["max_latency_ms"]) * _MS,
        refused=0,
        shed=0,
        broken=0,
        rss_bytes=watch.rss_bytes("server"),
    )
