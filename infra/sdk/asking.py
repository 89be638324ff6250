"""Asks questions by a generated client, which runs in a process of its own."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from infra.local.asking import Answer, Ask, Question, ask, problem


@contextmanager
def asking(
    argv: tuple[str, ...], client: httpx.Client, line_of: Callable[[Question], str | None]
) -> Iterator[Ask]:
    """Start the driver of a generated client.

    Args:
        argv: its command, to which the API's address is added.
        client: asks, by plain HTTP, what the generated client cannot.
        line_of: what the driver reads to ask a question; None if it cannot.
    """
    command = [*argv, str(client.base_url).rstrip("/")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as driver:

        def answered(question: Question) -> Answer:
            line = line_of(question)
            if line is None:
                return ask(client, question)
            print(line, file=driver.stdin, flush=True)
            answer = json.loads(next(iter(driver.stdout or ())))
            if failure := answer.get("failure"):
                return Answer(question, None, None, f"the generated client failed: {failure}")
            status, body = answer["status"], answer["body"]
            return Answer(question, status, body, problem(question, status, body))

        yield answered
