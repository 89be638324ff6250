"""`python -m tests.settings.trainer_of_few` is the trainer with few users held out.

It reads the histories of at least as many users, so on a stack's few it would read all of them,
whatever `COUNTS_USERS` says.
"""

from typing import Final

from trainer.__main__ import app
from trainer.run import training
from trainer.selection import auto

HELD_OUT_MOST: Final = 25
"""Users; enough for `auto` to choose by."""

if __name__ == "__main__":
    auto.SAMPLE_USERS = training.SAMPLE_USERS = HELD_OUT_MOST  # type: ignore[misc, attr-defined]
    app()
