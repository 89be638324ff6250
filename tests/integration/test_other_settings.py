"""Workers do not start on state of other settings."""

import pytest

from contracts.topics import INTERACTIONS, QUOTES
from infra.local.process import start

from .conftest import WAIT_S, Pipeline
from .watched import counted, events, quotes

pytestmark = pytest.mark.slow


OTHERS: list[tuple[dict[str, str | int], str]] = [
    ({"bars_retention_minutes": 10}, "BARS_RETENTION_MINUTES was 60 and is 10"),
    ({"bars_retention_minutes": 120}, "BARS_RETENTION_MINUTES was 60 and is 120"),
    ({"history_cap": 50}, "HISTORY_CAP was 500 and is 50"),
    (
        {"affinity": "weighted"},
        "AFFINITY was binary and is weighted, HALF_LIFE_DAYS was not set and is 60.0",
    ),
    (
        {"affinity": "greatest"},
        "AFFINITY was binary and is greatest, HALF_LIFE_DAYS was not set and is 60.0",
    ),
    ({"user_weight": "inverse-degree"}, "USER_WEIGHT was none and is inverse-degree"),
]


def test_it_names_both_values_and_the_remedy_and_leaves_the_state_untouched(
    pipeline: Pipeline,
) -> None:
    with pipeline.worker():
        pipeline.publish([*quotes(100), *events(20)])
        pipeline.wait_until_folded()
        commands = [
            pipeline.command(f"other-{n}", "stream_processors", metrics_port=0, **settings)
            for n, (settings, _) in enumerate(OTHERS)
        ]
        processes = [start(command) for command in commands]
        for command, process, (_, named) in zip(commands, processes, OTHERS, strict=True):
            assert process.wait(WAIT_S) == 1
            said = command.log.read_text()
            assert "was folded with other settings" in said
            assert named in said
            assert "choose another NAMESPACE" in said
        pipeline.publish([*quotes(100, 100), *events(20, 20)])
        pipeline.wait_until_folded([QUOTES, INTERACTIONS])
    assert counted(pipeline) == 200
