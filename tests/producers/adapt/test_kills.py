"""Copies that are killed at any time publish nothing twice, and leave nothing out."""

import contextlib
import dataclasses
import random
import time
from contextlib import AbstractContextManager

import pytest

from infra.local.process import Command, kill, start, stop
from tests.kafka_log import feeding
from tests.patience import eventually

from .conftest import Company, quotes, tick

pytestmark = [pytest.mark.kafka_only, pytest.mark.slow]

KILLS = 30
AT_ONCE = 500
WITHIN_S = 0.5


def starts_of(command: Command) -> int:
    return command.log.read_text().count('"started"') if command.log.exists() else 0


def fed(company: Company, topic: str) -> AbstractContextManager[list[int]]:
    """Publish ticks for the block; yield how many, which keeps growing."""
    return feeding(
        lambda numbers: company.publish(topic, [tick(f"S{k % 10}", k) for k in numbers]), AT_ONCE
    )


def test_after_thirty_kills_each_record_was_published_once(
    company: Company, topic: str, seed: int
) -> None:
    draw = random.Random(seed)
    commands = [company.command(name) for name in ("one", "two")]
    processes = [start(command) for command in commands]
    try:
        with fed(company, topic) as n:
            for _ in range(KILLS):
                which = draw.randrange(2)
                # At any place of its work, which goes round in some 0.2 s.
                time.sleep(draw.uniform(0, WITHIN_S))
                kill(processes[which])
                processes[which].wait()
                before = starts_of(commands[which])
                processes[which] = start(commands[which])
                eventually(
                    lambda which=which, before=before: starts_of(commands[which]) > before,
                    f"{commands[which].name} has started again",
                )
        company.wait_until_read()
    finally:
        stop(*zip(processes, commands, strict=True))
    assert_each_once(company, n[0])


def test_copies_without_a_name_come_and_go(company: Company, topic: str) -> None:
    first, second, third = (unnamed(company.command(name)) for name in ("one", "two", "three"))
    with fed(company, topic) as n, contextlib.ExitStack() as stack:
        killed = start(first)
        for members, command in enumerate((second, third), start=2):
            process = start(command)
            stack.callback(stop, (process, command))
            company.wait_until_shared_by(members)
            company.wait_until_past(topic)
        kill(killed)
        # All partitions are read again once its session and its transaction are over.
        company.wait_until_past(topic)
    with company.copies("four"):
        company.wait_until_read()
    assert_each_once(company, n[0])


def unnamed(command: Command) -> Command:
    environment = {k: v for k, v in command.environment.items() if k != "ADAPT_INSTANCE"}
    return dataclasses.replace(command, environment=environment)


def assert_each_once(company: Company, n: int) -> None:
    """Check that n ticks were published once, and in the order of each instrument."""
    assert {i: [quote.price for quote in of] for i, of in quotes(company).items()} == {
        i: [float(k + 1) for k in range(i, n, 10)] for i in range(10)
    }
