"""Copies that are killed at any time publish nothing twice, and leave nothing out."""

import random
import time

import pytest

from infra.local.process import Command, kill, start, stop
from runtime.topology import Topology
from tests.patience import eventually

from .conftest import Company
from .test_adapting import TICKS, catalog, quotes, ticks

pytestmark = [pytest.mark.kafka_only, pytest.mark.slow]

KILLS = 30
OF_EACH_LIFE = 20_000
WITHIN_S = 1.0


def starts_of(command: Command) -> int:
    return command.log.read_text().count('"started"') if command.log.exists() else 0


def test_after_thirty_kills_each_record_was_published_once(
    company: Company, topology: Topology, seed: int
) -> None:
    draw = random.Random(seed)
    topic = company.topic("ticks")
    company.map(TICKS.format(topic=topic))
    catalog(company)
    records = ticks(KILLS * OF_EACH_LIFE)
    commands = [company.command(name) for name in ("one", "two")]
    processes = [start(command) for command in commands]
    try:
        for n in range(KILLS):
            company.publish(topic, records[n * OF_EACH_LIFE : (n + 1) * OF_EACH_LIFE])
            which = draw.randrange(2)
            # That it is in the middle of its work, at any place of it, is what the time is for.
            time.sleep(draw.uniform(0, WITHIN_S))
            kill(processes[which])
            processes[which].wait()
            before = starts_of(commands[which])
            processes[which] = start(commands[which])
            eventually(
                lambda which=which, before=before: starts_of(commands[which]) > before,
                f"{which} has started again",
            )
        company.wait_until_read()
    finally:
        stop(*zip(processes, commands, strict=True))
    assert {i: [quote.price for quote in of] for i, of in quotes(company).items()} == {
        i: [float(k + 1) for k in range(i, len(records), 10)] for i in range(10)
    }
