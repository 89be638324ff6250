"""Settings that decide whether lists are refused that predict worse than the served ones.

These checks retrain. They overwrite the accuracy in the report of the served lists, so the share
of it that new lists keep is known in advance.
"""

import time
from typing import Final

import msgspec

from tests.integration.conftest import eventually
from tests.settings.rows import Row, disturbing
from tests.settings.seen_answers import served_report
from tests.settings.seen_publication import train
from tests.settings.seen_running import generation_of
from tests.settings.stack import Stack
from trainer.generations.report import HeldOut

NEAR: Final = 0.01
BEYOND_CHANCE: Final = 2.0
"""Lower end of the served lists' interval: no nDCG comes near."""


@disturbing
def refused_below(stack: Stack, row: Row) -> None:
    """Lists are refused that keep less than the limit, and others are published."""
    limit = stack.settings("trainer").quality.ndcg_kept_min
    measured = _trained(stack)
    assert not _is_published(stack, measured, limit - NEAR)
    measured = _trained(stack)
    assert _is_published(stack, measured, limit + NEAR)


@disturbing
def refused_again_below(stack: Stack, row: Row) -> None:
    """After a refusal there is another limit."""
    quality = stack.settings("trainer").quality
    again = quality.ndcg_kept_again
    measured = _trained(stack)
    assert not _is_published(stack, measured, quality.ndcg_kept_min - NEAR)
    assert not _is_published(stack, measured, again - NEAR)
    assert _is_published(stack, measured, again + NEAR)


@disturbing
def let_through_after(stack: Stack, row: Row) -> None:
    """What was refused is published anyway after it was refused for so long."""
    quality = stack.settings("trainer").quality
    kept = quality.ndcg_kept_min - NEAR
    measured = _trained(stack)
    assert not _is_published(stack, measured, kept)
    assert _is_published(stack, measured, kept) == (quality.ndcg_refused_hours == 0)


def _trained(stack: Stack) -> HeldOut:
    """Train on request, which always publishes, and return how well the lists predict."""
    train(stack)
    held_out = served_report(stack).held_out
    assert held_out
    assert held_out.ndcg > 0
    return held_out


def _is_published(stack: Stack, measured: HeldOut, kept: float) -> bool:
    """Return whether lists are published that keep that share of the served ones' accuracy."""
    report = served_report(stack)
    served = msgspec.structs.replace(measured, ndcg=measured.ndcg / kept, low=BEYOND_CHANCE)
    # Something must have changed, or nothing would be trained.
    inputs = msgspec.structs.replace(report.inputs, variants={"another": {}})
    report = msgspec.structs.replace(report, held_out=served, inputs=inputs)
    key = stack.keyspace.model_report(report.generation)
    stack.store.set(key, msgspec.json.encode(report), keepttl=True)
    name = f"trainer-{time.time_ns()}"
    stack.start("trainer", name, TRAIN_EVERY_SECONDS="3600")

    def is_over() -> bool:
        return _is_another(stack, report.generation) or '"rejected"' in stack.log(name)

    eventually(is_over, f"lists published or rejected, see {stack.folder}/{name}.log")
    stack.stop(name)
    published = _is_another(stack, report.generation)
    assert published or "ndcg_kept" in stack.log(name)
    return published


def _is_another(stack: Stack, generation: str) -> bool:
    return generation_of(stack)[1] != generation
