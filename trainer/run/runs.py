"""Runs on a schedule, one at a time, through any outage of Redis."""

import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Final

import structlog
from redis.exceptions import NoPermissionError, RedisClusterException, RedisError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_attempt,
    stop_when_event_set,
    wait_exponential_jitter,
)

from contracts.keyspace import Keyspace
from runtime.redis.refusals import StoreRefusesError
from runtime.redis.stores import UNAVAILABLE, Store, check_kept, connect
from trainer import telemetry
from trainer.generations.decisions import note_under_way
from trainer.generations.gate import Waiting
from trainer.generations.publication import HeldError, SupersededError
from trainer.generations.report import Report
from trainer.quality.reporting import BadDataError
from trainer.run.lock import LEASE_S, LeaseLostError, LockedError, held
from trainer.run.searching import Searches
from trainer.run.training import Skipped, Training
from trainer.settings import TrainerSettings
from trainer.source import RedisSource, Source
from trainer.stages import Stages, StoppedError, shown

ATTEMPTS: Final = 4
"""Attempts of one run while Redis is unreachable; they take about 4 seconds."""

FIRST_EVERY_S: Final = 5.0
"""From one run's start to the next one's while there is nothing to list."""
SEARCH_CHECKED_EVERY_S: Final = 1.0

FAILURES: Final = (RedisError, RedisClusterException, LeaseLostError, SupersededError)
"""Errors that the next run may well not hit."""

log = structlog.get_logger(__name__)


class Runs:
    """The runs of this process."""

    def __init__(
        self,
        settings: TrainerSettings,
        stop: threading.Event,
        source_of: Callable[[Store, Keyspace], Source] = RedisSource,
    ) -> None:
        """End a run between two blocks, and stop waiting, once `stop` is set."""
        self._settings = settings
        self._stop = stop
        self._source_of = source_of
        self._has_items = True
        """what the last run found that did not fail"""
        self._searches = Searches(are_awaited=True)

    def periodically(self) -> None:
        """Run every `train_every_seconds`, if anything changed, until stopped.

        More often while there are no items, and at first after that: the first lists come soon
        after the first events, and are based on few. What a search chose is used at once.
        """
        most_s = every_s = self._settings.train_every_seconds
        with closing(Searches(are_awaited=False)) as self._searches:
            while not self._stop.is_set():
                started = time.monotonic()
                self.once(only_if_changed=True, wait_for_lock_s=0)
                every_s = min(2 * every_s if self._has_items else FIRST_EVERY_S, most_s)
                self._wait(started + every_s)

    def _wait(self, until_s: float) -> None:
        """Wait until then, until stopped, or until the search that is under way chose something."""
        searches = self._searches
        while (left_s := until_s - time.monotonic()) > 0:
            wait_s = min(left_s, SEARCH_CHECKED_EVERY_S) if searches.under_way else left_s
            if self._stop.wait(wait_s) or wait_s == left_s or searches.choices:
                return

    def once(self, *, only_if_changed: bool, wait_for_lock_s: float) -> str:
        """Run, log and count how it ended, and return that.

        Returns:
            trained, unchanged, empty, held, on trial, resting, rejected, locked, stopped or failed.
        """
        outcome = self._outcome(only_if_changed=only_if_changed, wait_for_lock_s=wait_for_lock_s)
        telemetry.RUNS.labels(outcome).inc()
        return outcome

    def _outcome(self, *, only_if_changed: bool, wait_for_lock_s: float) -> str:
        tries = Retrying(
            retry=retry_if_exception_type(UNAVAILABLE),
            wait=wait_exponential_jitter(multiplier=0.5, max=5, jitter=0.5),
            stop=stop_after_attempt(ATTEMPTS) | stop_when_event_set(self._stop),
            sleep=sleep_using_event(self._stop),
            before_sleep=_log_retry,
            reraise=True,
        )
        try:
            result = tries(self._run, only_if_changed, wait_for_lock_s)
        except LockedError as error:
            log.info("skipped", reason=str(error))
            return "locked"
        except StoppedError as error:
            log.info("stopped", reason=str(error))
            return "stopped"
        except HeldError as error:
            log.info("skipped", reason=str(error))
            return Waiting.HELD.value
        except BadDataError as error:
            self._has_items = True
            log.error("rejected", reason=str(error))  # noqa: TRY400 (the message says it all)
            return "rejected"
        except (StoreRefusesError, NoPermissionError) as error:
            log.error("run failed; what is served stays as it is", reason=str(error))  # noqa: TRY400 (the message says it all)
            return "failed"
        except FAILURES:
            log.exception("run failed; what is served stays as it is")
            return "failed"
        self._has_items = _has_items(result)
        return _logged(result)

    def _run(self, only_if_changed: bool, wait_for_lock_s: float) -> Report | Skipped | Waiting:  # noqa: FBT001 (called through tenacity)
        settings, keyspace = self._settings, Keyspace(self._settings.namespace)
        with closing(connect(settings.redis_url, "trainer")) as store:
            check_kept(store)  # the workers log its warnings
            lock = held(store, keyspace, LEASE_S, wait_for_lock_s, self._stop.wait)
            with lock as lease, shown() as progress:
                stages = Stages(self._check(lease.check), progress)
                source = self._source_of(store, keyspace)
                searches, fence = self._searches, lease.fence
                training = Training(
                    store, keyspace, source, settings, fence, stages, _now, searches
                )
                try:
                    return training.run(only_if_changed=only_if_changed)
                finally:
                    expiry_s = 2 * settings.train_every_seconds + LEASE_S
                    with suppress(*UNAVAILABLE):  # then it expires
                        note_under_way(store, keyspace, searches.under_way, expiry_s)

    def _check(self, check_lease: Callable[[], None]) -> Callable[[], None]:
        def check() -> None:
            if self._stop.is_set():
                raise StoppedError("asked to stop: the generation in the making is given up")
            check_lease()

        return check


def _has_items(result: Report | Skipped | Waiting) -> bool:
    return result.data.items > 0 if isinstance(result, Report) else result is not Skipped.EMPTY


def _logged(result: Report | Skipped | Waiting) -> str:
    """Log what a run came to, set its metrics, and return its name."""
    if isinstance(result, Skipped | Waiting):
        log.info("skipped", reason=result.value)
        return result.value
    telemetry.ITEMS.set(result.data.items)
    telemetry.USERS.set(result.lists.user)
    telemetry.GENERATION_TIMESTAMP.set(datetime.fromisoformat(result.finished).timestamp())
    for stage, seconds in result.seconds.items():
        telemetry.STAGE_SECONDS.labels(stage).set(seconds)
    log.info(
        "trained",
        generation=result.generation,
        items=result.data.items,
        pairs=result.data.pairs,
        users=result.data.users,
        seconds=result.seconds,
    )
    return "trained"


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("Redis is away, trying again", attempt=state.attempt_number, error=str(error))


def _now() -> datetime:
    return datetime.now(UTC)
