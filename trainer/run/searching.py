"""Searches of `auto`, each in a process of its own: no generation waits for one.

The process reads its job from a pipe: nothing is on disk, nor copied in the trainer. It prints each
candidate that it has measured, and ends when its input does: with the trainer. It has the lowest
priority, and sleeps after each candidate so that it takes half a core at most.
"""

import os
import pickle
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from subprocess import PIPE, STDOUT, Popen
from typing import Final, NamedTuple

import msgspec
import structlog
from rich.progress import Progress

from contracts.generations import UnderWay
from contracts.messages import Floats
from trainer import telemetry
from trainer.counts.derived import Histories
from trainer.counts.matrices import Matrix
from trainer.generations.report import Found, Selection, Tried
from trainer.judging.lists import N
from trainer.judging.search import find
from trainer.models.interface import Values
from trainer.settings import TrainerSettings
from trainer.stages import Stages

COMMAND: Final = (sys.executable, "-m", "trainer.run.searching")
ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
NICENESS: Final = 19
CORES: Final = 0.5
"""How much CPU a search takes at most, from its beginning to any candidate's end."""

log = structlog.get_logger(__name__)


class Job(NamedTuple):
    """A search to run: its input, and the variant whose settings it chooses."""

    counts: tuple[Histories, Floats, Matrix]
    settings: TrainerSettings
    served: Values | None
    variant: str
    basis: tuple[str, int, int, int]
    """when the counts were read, and how much they are, as a `Selection` has it"""


class Searches:
    """The searches of this process, one at a time, and what they chose for the next generation."""

    def __init__(self, *, are_awaited: bool) -> None:
        self.are_awaited = are_awaited
        """by the generation that they are for, so none has a process of its own"""
        self.next: Job | None = None
        self.choices: dict[str, tuple[TrainerSettings, Selection]] = {}
        self._begun: UnderWay | None = None
        self._tried: list[Tried] = []
        self._process: Popen[bytes] | None = None

    @property
    def under_way(self) -> UnderWay | None:
        """The search that is under way, and the best candidate that it has measured so far."""
        if self._begun is None or not (tried := self._tried):
            return self._begun
        best = max(tried, key=lambda tried: tried.ndcg)
        said = f"{best.values['item_model']}, nDCG@{N} {best.ndcg:.4f}"
        return msgspec.structs.replace(self._begun, candidates=len(tried), best=said)

    def choice(self, variant: str, settings: TrainerSettings) -> Selection | None:
        """The last search's choice for a variant, None if its settings have changed since."""
        of, selection = self.choices.get(variant, (None, None))
        return selection if of == settings else None

    def begin(self) -> None:
        """Begin the next search, if there is one."""
        if job := self.next:
            self.choices.clear()  # what is left is of variants that are gone
            self._begun = UnderWay("search", datetime.now(UTC).isoformat(), job.basis[2])
            threading.Thread(target=self._search, name="search", daemon=True).start()

    def close(self) -> None:
        """End the search that is under way."""
        self._begun = None
        if self._process:
            self._process.kill()

    def _search(self) -> None:
        job, self.next, self._tried, found = self.next, None, [], None
        assert job  # noqa: S101 (it was there when this began)
        variant, settings, basis, output, line = job.variant, job.settings, job.basis, b"", b""
        try:
            with suppress(BrokenPipeError), _process() as process:
                self._process = process
                pickle.dump(job, process.stdin, pickle.HIGHEST_PROTOCOL)  # type: ignore[arg-type]
                process.stdin.flush()  # type: ignore[union-attr]
                del job  # as large as what a run reads
                for line in process.stdout:  # type: ignore[union-attr]
                    output = (output + line)[-2_000:]
                    with suppress(msgspec.MsgspecError):  # a warning, or what was found
                        self._tried.append(msgspec.json.decode(line, type=Tried))
            outcome = f"ended with {process.returncode}"
            if not process.returncode:
                found = msgspec.json.decode(line, type=Found)
        except OSError as error:
            outcome = f"cannot be begun: {error}"
        if found:
            self.choices[variant] = settings, Selection(found, *basis)
            log.info("search finished", variant=variant, chosen=found.values, reason=found.why)
            telemetry.SEARCHES.labels("finished").inc()
        elif self._begun:
            said = output.decode(errors="replace")
            log.error("search failed", variant=variant, reason=outcome, output=said)
            telemetry.SEARCHES.labels("failed").inc()
        self._begun = None


def _process() -> Popen[bytes]:
    env = os.environ | ONE_THREAD
    # In a group of its own: Ctrl-C is for the trainer.
    return Popen(COMMAND, stdin=PIPE, stdout=PIPE, stderr=STDOUT, env=env, process_group=0)  # noqa: S603


def main() -> None:
    """Run the pickled job on standard input; print each candidate, and the result as last line."""
    started = time.monotonic()
    os.nice(NICENESS)
    job: Job = pickle.load(sys.stdin.buffer)  # noqa: S301 (the trainer wrote it)
    threading.Thread(target=_end_with_input, daemon=True).start()

    def report(result: Tried | Found) -> None:
        time.sleep(max(time.process_time() / CORES - (time.monotonic() - started), 0))
        _print(result)

    stages = Stages(lambda: None, Progress(disable=True))
    report(find(*job.counts, job.settings, stages, served=job.served, measured=report))


def _print(result: Tried | Found) -> None:
    sys.stdout.write(f"{msgspec.json.encode(result).decode()}\n")
    sys.stdout.flush()


def _end_with_input() -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing follows
    os._exit(1)


if __name__ == "__main__":
    main()
