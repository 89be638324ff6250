"""Logs and counts partitions that do not resume at their position."""

import structlog
from faust.types import TP

from stream_processors import metrics
from stream_processors.partition.resume import Resume

log = structlog.get_logger()


def report(tp: TP, resume: Resume, end: int) -> None:
    """Report where a partition resumes, if not at its position.

    Args:
        tp: the partition.
        resume: where it resumes, and why.
        end: of the log.
    """
    if resume.missing:
        metrics.GAP.labels(tp.topic).inc(resume.missing)
    if resume.incident is None:
        return
    if resume.incident == "redis was empty" and not resume.may_miss_records:
        _report_beginning(tp, end)
        return
    metrics.STARTED_OVER.labels(resume.incident).inc()
    say = log.error if resume.incident.startswith("log") else log.warning
    say(
        "partition does not resume at its position",
        topic=tp.topic,
        partition=tp.partition,
        why=resume.incident,
        goes_on_at=resume.next_offset,
        log_end=end,
        missing=resume.missing,
        incarnation=resume.incarnation,
    )


def _report_beginning(tp: TP, end: int) -> None:
    """Report that a whole log is read: nothing is lost; most likely this is the first start."""
    if end:
        log.info(
            "reading a partition from its beginning: Redis has no position yet",
            topic=tp.topic,
            partition=tp.partition,
            log_end=end,
        )
