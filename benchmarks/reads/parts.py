"""The parts of `reads`, one after the other on the same data."""

import enum
from collections.abc import Collection, Iterator
from typing import Final

from benchmarks.harness.rounds import Say
from benchmarks.reads.contests import both, contest
from benchmarks.reads.doors import doors
from benchmarks.reads.measured import Measured
from benchmarks.reads.paths import endpoints
from benchmarks.reads.recommendations import recommend, situations
from benchmarks.reads.saturation import CONNECTIONS, Saturation, allowed_files, saturate
from benchmarks.reads.scene import Scene

_SIDE_ROUNDS: Final = 3
"""at most, of what has no bar to reach"""

_SATURATED_FOR_S: Final = 5
"""at least, so that the last of thousands of clients is answered, too"""


class Part(enum.StrEnum):
    """What `reads` can measure."""

    ENDPOINTS = "endpoints"
    RECOMMENDATIONS = "recommendations"
    DOORS = "doors"
    SATURATION = "saturation"


def measure(
    scene: Scene, parts: Collection[Part], rounds: int, seconds: int, say: Say
) -> Iterator[Measured | Saturation]:
    """Measure some parts; yield each result as soon as it is there.

    Raises:
        ContenderError: a server or a tool of load does not do what is measured.
    """
    side_rounds = min(rounds, _SIDE_ROUNDS)
    if Part.DOORS in parts:
        # It has its own processes, and none of the others' may run at the same time.
        yield doors(scene, side_rounds, seconds, say)
    if set(parts) == {Part.DOORS}:
        return
    connections = max(CONNECTIONS) if Part.SATURATION in parts else 0
    with allowed_files(connections), both(scene) as servers:
        if Part.ENDPOINTS in parts:
            yield from contest(scene, servers, endpoints(scene.size), rounds, seconds, say)
        if Part.RECOMMENDATIONS in parts:
            chosen = situations(scene.size, seconds)
            yield from recommend(scene, servers, chosen, rounds, seconds, say)
        if Part.SATURATION in parts:
            long_s = max(seconds, _SATURATED_FOR_S)
            yield saturate(scene, servers, CONNECTIONS, long_s, say)
