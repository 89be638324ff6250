"""The images: the program of each, by the name of its lock."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Image:
    """The content of an image."""

    package: str
    left_out: tuple[str, ...] = ()
    """modules whose imports are not in its lock, so that they cannot run in it"""


IMAGES: Final[Mapping[str, Image]] = {
    "producers": Image("producers", ("producers.archive", "producers.adapt")),
    "producers-adapt": Image("producers", ("producers.archive",)),
    "producers-archive": Image("producers", ("producers.adapt",)),
    "stream-processors": Image("stream_processors"),
    "trainer": Image("trainer", ("trainer.spark",)),
    "api": Image("api", ("api.bars.archive",)),
    "api-archive": Image("api"),
    "archive": Image("archive"),
    "operations": Image("operations", ("operations.repartition.archive",)),
    "operations-archive": Image("operations"),
}
