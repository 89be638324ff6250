"""Runs wrk against a server that runs, and says what it answered at what cost.

wrk is one process of C with one thread, so it leaves the store most of the core that they share.
Its script is `wrk.lua`.
"""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.harness.contender import ContenderError
from benchmarks.harness.usage import Watch, rss_bytes
from benchmarks.reads.results import Answered
from infra.local.process import LOOPBACK

_SCRIPT: Final = Path(__file__).with_name("wrk.lua")
_TIMEOUT_S: Final = 5
"""after which wrk counts an answer as missing"""
_END_WITHIN_S: Final = 30


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked for, how often at a time, and how long."""

    paths: Sequence[str]
    connections: int
    seconds: int


def drive(load: Load, port: int, watched: Mapping[str, int], folder: Path) -> Answered:
    """Put a load on a server of this machine, and return what it answered.

    Args:
        load: on the server.
        port: of the server.
        watched: the processes whose CPU is measured, `server` among them.
        folder: takes the file of paths.

    Raises:
        ContenderError: wrk is missing, or failed.
    """
    argv, watch = _command(load, port, folder), Watch(watched)
    said = _run(argv)
    return Answered(
        **{name: said[name] for name in ("records", "seconds", "refused", "broken")},
        **{f"{name}_s": said[f"{name}_us"] / 1e6 for name in ("p50", "p99", "max")},
        cpu_s=watch.cpu_s(),
        rss_bytes=rss_bytes(watched["server"]),
    )


def _command(load: Load, port: int, folder: Path) -> list[str]:
    wrk = shutil.which("wrk")
    if wrk is None:
        raise ContenderError("reads needs wrk, and there is none on PATH: install it (Debian: wrk)")
    paths = folder / "paths.txt"
    paths.write_text("".join(f"{path}\n" for path in load.paths))
    return [
        *(wrk, "--threads", "1", "--connections", str(load.connections)),
        *("--duration", f"{load.seconds}s", "--timeout", f"{_TIMEOUT_S}s"),
        *("--script", str(_SCRIPT), f"http://{LOOPBACK}:{port}", "--", str(paths)),
    ]


def _run(argv: list[str]) -> dict[str, Any]:
    """Return what `wrk.lua` reports."""
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=_END_WITHIN_S, check=False)
    lines = [line for line in ended.stdout.splitlines() if line.startswith("{")]
    if ended.returncode or not lines:
        raise ContenderError(f"wrk failed ({ended.returncode}): {ended.stdout}{ended.stderr}")
    said: dict[str, Any] = msgspec.json.decode(lines[-1])
    return said
