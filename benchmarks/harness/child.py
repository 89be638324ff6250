"""Functions that run in processes of their own, alongside what is measured.

Each prepares, begins when all, this process included, are ready, and returns a result.
"""

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from threading import BrokenBarrierError
from typing import Any, Final, Generic, NamedTuple, TypeVar

from benchmarks.harness.contender import ContenderError

_READY_WITHIN_S: Final = 60
# Not a fork: librdkafka's threads would be missing there.
_context: Final = multiprocessing.get_context("spawn")

Result = TypeVar("Result")


def meeting(of: int) -> Barrier:
    """Return where so many processes wait for each other."""
    return _context.Barrier(of, timeout=_READY_WITHIN_S)


def meet(start: Barrier) -> None:
    """Return when all have prepared.

    Raises:
        ContenderError: one failed, and said why on standard error, or took too long.
    """
    try:
        start.wait()
    except BrokenBarrierError:
        said = f"a process failed, or was not ready within {_READY_WITHIN_S} s"
        raise ContenderError(said) from None


class Child(NamedTuple, Generic[Result]):
    """One such process, seen from the one that measures."""

    name: str
    pid: int
    pipe: "Connection[Any, Any]"

    def result(self, within_s: float) -> Result:
        """Return what the function returned.

        Raises:
            ContenderError: it failed, and said why on standard error, or took longer.
        """
        with contextlib.suppress(EOFError):
            if self.pipe.poll(within_s):
                result: Result = self.pipe.recv()
                return result
            raise ContenderError(f"{self.name} was not done within {within_s:g} s")
        raise ContenderError(f"{self.name} ended early")


@contextlib.contextmanager
def child(start: Barrier, work: Callable[..., Result], *task: Any) -> Iterator[Child[Result]]:
    """Run `work(start, *task)`, a function of a module, in a process for the block."""
    pipe, its = _context.Pipe()
    name = f"{work.__module__}.{work.__name__}"
    process = _context.Process(target=_run, args=(its, start, work, *task), daemon=True)
    process.start()
    its.close()
    try:
        yield Child(name, process.pid or 0, pipe)
    finally:
        process.terminate()
        process.join()


def _run(
    pipe: "Connection[Any, Any]", start: Barrier, work: Callable[..., Any], *task: Any
) -> None:
    # Ctrl-C in the terminal is for the process that measures.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        pipe.send(work(start, *task))
    except Exception:
        start.abort()  # nobody needs to wait for this one
        raise
