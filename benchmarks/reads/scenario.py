"""The command `reads`: each part of it on the same data, one after the other."""

import enum
from typing import Annotated

import typer

from benchmarks.harness import session
from benchmarks.reads.contests import both, contest
from benchmarks.reads.data import Size
from benchmarks.reads.scene import set_up
from benchmarks.reads.situations import endpoints, recommendations


class Part(enum.StrEnum):
    """What `reads` can measure."""

    ENDPOINTS = "endpoints"
    RECOMMENDATIONS = "recommendations"


def reads(
    rounds: session.Rounds = 5,
    seconds: Annotated[int, typer.Option(min=1, help="that each is asked in a round")] = 2,
    part: Annotated[Part | None, typer.Option(help="one alone [default: all]")] = None,
    instruments: Annotated[int, typer.Option(min=300)] = 50_000,
    users: Annotated[int, typer.Option(min=100)] = 1_000_000,
    *,
    json: session.Json = False,
) -> None:
    """Hot reads over HTTP, against FastAPI with redis-py on the same data."""
    size = Size(instruments, users)
    with (
        session.folder() as path,
        set_up(path, size, session.progress) as scene,
        both(scene) as servers,
    ):
        chosen = [] if part is Part.RECOMMENDATIONS else endpoints(size)
        chosen += [] if part is Part.ENDPOINTS else recommendations(size, seconds)
        for found in contest(scene, servers, chosen, rounds, seconds, session.say):
            session.present(found, json=json)
