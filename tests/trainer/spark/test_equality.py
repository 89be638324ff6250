"""What Spark makes of the archive is what the trainer makes of Redis."""

import dataclasses
import random
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pytest

from contracts.affinities import affinity_of
from contracts.archive import ERASED
from contracts.event_types import BUILT_IN
from contracts.generations import DEFAULT_VARIANT, PopularList, SimilarList, UserList
from contracts.keyspace import Keyspace
from contracts.log_position import LogPosition
from contracts.partitioning import user_partition
from contracts.times import DAY_MS
from runtime.archive.config import ArchiveConfig
from runtime.redis.stores import Store
from runtime.settings import FoldingSettings
from stream_processors.histories.rules import HistoryRules
from tests.oracles.gram import gram_matrix
from tests.trainer.setup import PARTITIONS, note_topics, run
from tests.trainer.spark.conftest import SessionOf
from tests.trainer.spark.logs import Record, archive, folded, put
from trainer.generations.publication import read_current
from trainer.generations.report import Report
from trainer.settings import TrainerSettings
from trainer.source import SourceError
from trainer.spark.snapshot import read_snapshot

CAP = 12
EVENTS = 3_000
USERS = 60
START_MS = 1_600_000_000_000
Lists = dict[str, Any]


def log(seed: int = 7) -> list[Record]:
    """Return a log in which users have the cap and more, some are erased, and times go astray."""
    draw, offsets, records = random.Random(seed), [0] * PARTITIONS, []
    for n in range(EVENTS):
        user = f"u{int(USERS * draw.random())}"
        partition = user_partition(user, PARTITIONS)
        offset, ts_ms = offsets[partition], START_MS + n * DAY_MS // 600 + draw.randrange(DAY_MS)
        offsets[partition] += 1
        chance = draw.random()
        if chance < 0.004:
            erased_at_ms = draw.choice([None, ts_ms])
            records.append(
                Record(partition, offset, user, None, ERASED, ts_ms, erased_at_ms=erased_at_ms)
            )
        elif chance < 0.008:
            before_ms = START_MS + draw.randrange(6 * DAY_MS)
            records.append(
                Record(partition, offset, user, None, ERASED, ts_ms, last_event_before_ms=before_ms)
            )
        else:
            item = 1_000 * int(40 * draw.random() ** 2)
            price = draw.choice([None, 10 * draw.random()])
            event = draw.choice(list(BUILT_IN))
            records.append(Record(partition, offset, user, item, event, ts_ms, price))
    return records


def lists_of(store: Store, keyspace: Keyspace) -> tuple[Report, Lists]:
    """Return the served report and all lists of its generation, by what they are of."""
    current = read_current(store, keyspace)
    assert current is not None
    generation = current.variants[DEFAULT_VARIANT].generation
    report = msgspec.json.decode(str(store.get(keyspace.model_report(generation))), type=Report)
    lists: Lists = {}
    prefix = keyspace.model_popular(generation).removesuffix("popular")
    for key in store.scan_iter(f"{prefix}*", count=1_000):
        of = key.removeprefix(prefix)
        kind: Any = {"similar": SimilarList, "user": UserList, "popular": PopularList}.get(
            of.partition(":")[0]
        )
        if kind is not None:
            lists[of] = msgspec.json.decode(str(store.get(key)), type=kind)
    return report, lists


def source_of(
    spark: SessionOf, config: ArchiveConfig, rules: FoldingSettings, at: int | None = None
) -> Any:
    from trainer.spark.source import Archived, SparkSource

    return partial(SparkSource, archived=Archived(spark, read_snapshot(config, at), rules))


@pytest.fixture
def other(keyspace: Keyspace) -> Keyspace:
    return dataclasses.replace(keyspace, namespace=f"{keyspace.namespace}-spark")


@pytest.mark.parametrize("affinity", ["binary", "greatest", "weighted"])
def test_lists_of_spark_are_those_of_redis(
    affinity: Any,
    store: Store,
    keyspace: Keyspace,
    other: Keyspace,
    settings: TrainerSettings,
    config: ArchiveConfig,
    spark: SessionOf,
) -> None:
    records = log()
    rules = FoldingSettings(affinity=affinity, half_life_days=14, history_cap=CAP)
    fold = HistoryRules(affinity_of(affinity, 14), CAP)
    snapshots = archive(config, [records[:1_000], records[1_000:]])
    # Fewer than there are: who is listed is found out, too.
    of_redis = settings.model_copy(update={"active_users": 20})
    of_spark = of_redis.model_copy(update={"namespace": other.namespace})
    for of in (keyspace, other):
        note_topics(store, of, affinity=affinity, history_cap=CAP)
    put(store, keyspace, folded(records, fold))

    assert run(of_redis) == "trained"
    assert run(of_spark, source_of(spark, config, rules)) == "trained"
    _, expected = lists_of(store, keyspace)
    report, lists = lists_of(store, other)
    assert sum(of.startswith("user:") for of in expected) == 20
    assert_same(lists, expected, exactly=affinity == "binary")

    # So are those of ordered counts, which are made of the histories alone.
    in_order = {"item_model": "ordered", "user_model": "none"}
    assert run(of_redis.model_copy(update=in_order)) == "trained"
    assert run(of_spark.model_copy(update=in_order), source_of(spark, config, rules)) == "trained"
    expected, found = (lists_of(store, of)[1] for of in (keyspace, other))
    assert {each.model for of, each in expected.items() if of.startswith("similar:")} == {"ordered"}
    assert_same(found, expected, exactly=affinity == "binary")

    # The report names the training data; of an earlier snapshot, what it had is learned.
    made_of = report.inputs.archive
    assert made_of is not None
    assert (made_of.snapshot, made_of.folding["history_cap"]) == (str(snapshots[1]), CAP)
    ends = [max(r.offset for r in records if r.partition == p) + 1 for p in range(PARTITIONS)]
    assert report.inputs.positions["interactions"] == [LogPosition(0, end) for end in ends]
    if affinity == "binary":
        before = dataclasses.replace(keyspace, namespace=f"{keyspace.namespace}-before")
        note_topics(store, before)
        put(store, before, folded(records[:1_000], fold))
        assert run(of_redis.model_copy(update={"namespace": before.namespace})) == "trained"
        assert run(of_spark, source_of(spark, config, rules, snapshots[0])) == "trained"
        assert_same(lists_of(store, other)[1], lists_of(store, before)[1], exactly=True)


def assert_same(lists: Lists, expected: Lists, *, exactly: bool) -> None:
    """Compare lists: sums of whole numbers are the same in any order, others to the last digits."""
    assert lists.keys() == expected.keys()
    if exactly:
        assert lists == expected
        return
    for of, theirs in expected.items():
        mine, its = ({entry.item: entry for entry in each.items} for each in (lists[of], theirs))
        assert mine.keys() == its.keys()
        for figure in ("score", "support") if of.startswith("similar:") else ("score",):
            found, wanted = ([getattr(each[i], figure) for i in its] for each in (mine, its))
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12, err_msg=of)


def test_users_weigh_as_their_histories_end(config: ArchiveConfig, spark: SessionOf) -> None:
    from trainer.spark.source import Archived
    from trainer.stages import Stages, shown

    records = log()
    archive(config, [records])
    rules = FoldingSettings(history_cap=CAP, user_weight="inverse-degree")
    with shown() as progress:
        stages = Stages(lambda: None, progress)
        gram, user_items = Archived(spark, read_snapshot(config, None), rules).read(USERS, stages)
    histories = folded(records, HistoryRules(affinity_of("binary", 14), CAP))
    expected = np.zeros((len(histories), len(gram.items)))
    for place, user in enumerate(user_items.users):
        items = np.searchsorted(gram.items, histories[user][1].items())
        expected[place, items] = len(items) ** -0.5
    np.testing.assert_allclose(gram.counts.toarray(), gram_matrix(expected), rtol=1e-9)
    assert (user_items.unscaled == 1).all()
    np.testing.assert_allclose(user_items.affinities.toarray(), expected, rtol=1e-12)


def test_workers_that_fold_otherwise_are_named(
    store: Store,
    keyspace: Keyspace,
    settings: TrainerSettings,
    config: ArchiveConfig,
    spark: SessionOf,
) -> None:
    archive(config, [log()[:10]])
    note_topics(store, keyspace, affinity="greatest", history_cap=500)
    with pytest.raises(SourceError, match="AFFINITY is binary here and greatest there"):
        run(settings, source_of(spark, config, FoldingSettings()))
