"""Interrupts of what runs a stack."""

import os
import signal
import time

import pytest

from infra.local.run import INTERRUPTS, interruptible
from tests.patience import PATIENCE_S


class InterruptedFinalizer:
    """A signal comes while Python runs its finalizer, where it ignores exceptions."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)


@interruptible()
def interrupted() -> None:
    InterruptedFinalizer()
    time.sleep(PATIENCE_S)


def test_an_interrupt_in_a_finalizer_ends_the_block() -> None:
    before = [signal.getsignal(number) for number in INTERRUPTS]

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert [signal.getsignal(number) for number in INTERRUPTS] == before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
