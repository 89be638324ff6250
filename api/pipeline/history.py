"""The workers' progress over the last hour, sampled by this process since its start."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple

from api.pipeline.answers import Pipeline, PipelineHistory, TopicHistory, TopicState
from api.pipeline.log_ends import LogEnds
from api.pipeline.progress import Progress
from api.redis.following import following
from contracts.times import MINUTE_MS, MINUTE_S
from contracts.topics import STREAMED, dead_letters

SAMPLE_EVERY_S: Final = 10.0
MINUTES_KEPT: Final = 60
_SAMPLES: Final = round(MINUTES_KEPT * MINUTE_S / SAMPLE_EVERY_S)


class _Of(NamedTuple):
    """The progress of a topic at one time."""

    lag: int | None = None
    rate: float | None = None
    age_ms: int | None = None
    dead_letter_rate: float | None = None


class _Sample(NamedTuple):
    ts_ms: int
    topics: dict[str, _Of]
    """topics of which nothing is known are absent"""


class History:
    """Samples the workers' progress."""

    def __init__(self, progress: Progress, now_ms: Callable[[], int]) -> None:
        self._progress = progress
        self._now_ms = now_ms
        self._since_ms = now_ms()
        self._samples: deque[_Sample] = deque(maxlen=_SAMPLES)

    def sampling(self) -> AbstractAsyncContextManager[None]:
        """Sample for the block."""
        return following("pipeline-history", self._sample, lambda: SAMPLE_EVERY_S)

    def last(self, minutes: int) -> PipelineHistory:
        """Return the samples of the last minutes."""
        from_ms = self._now_ms() - minutes * MINUTE_MS
        samples = [sample for sample in self._samples if sample.ts_ms >= from_ms]
        return PipelineHistory(
            self._since_ms,
            round(SAMPLE_EVERY_S * 1000),
            [sample.ts_ms for sample in samples],
            [_columns(topic.name, samples) for topic in STREAMED],
        )

    async def _sample(self) -> None:
        topics: dict[str, _Of] = {}
        try:
            topics = _sampled(*(await self._progress.look()))
        finally:  # a failed read is a sample, too
            self._samples.append(_Sample(self._now_ms(), topics))


def _sampled(pipeline: Pipeline, ends: LogEnds) -> dict[str, _Of]:
    rejected = {topic.name: ends.rates.get(dead_letters(topic).name) for topic in STREAMED}
    return {
        of.topic: _Of(of.lag, of.rate, _age_ms(of), rejected[of.topic]) for of in pipeline.topics
    }


def _age_ms(of: TopicState) -> int | None:
    """Return the age of the partition that has been behind the longest."""
    if of.lag is None:
        return None
    return max((p.age_ms for p in of.partitions if p.lag and p.age_ms is not None), default=0)


def _columns(topic: str, samples: Sequence[_Sample]) -> TopicHistory:
    of = [sample.topics.get(topic, _Of()) for sample in samples]
    return TopicHistory(
        topic,
        [each.lag for each in of],
        [each.rate for each in of],
        [each.age_ms for each in of],
        [each.dead_letter_rate for each in of],
    )
