"""The stages of a run that nobody watches."""

import pytest
from rich.progress import Progress

from trainer.stages import Stages


@pytest.fixture
def stages() -> Stages:
    return Stages(lambda: None, Progress(disable=True))
