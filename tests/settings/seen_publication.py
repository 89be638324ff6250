"""Settings that decide which generation reaches whom. These checks retrain."""

import time
from typing import Final

from contracts.generations import CANARY_VARIANT, DEFAULT_VARIANT
from contracts.keyspace import NOT_ITEMS
from contracts.messages import Interaction
from contracts.pairs import row_of
from contracts.partitioning import instrument_partition
from contracts.topics import COOCCURRENCES, INTERACTIONS
from tests.settings.rows import Row, disturbing
from tests.settings.seen_answers import served_report
from tests.settings.seen_running import generation_of
from tests.settings.stack import PARTITIONS, TRAINER, Stack
from tests.settings.world import ITEMS, USERS

SMALL_SHARE: Final = 0.05
"""More than what a damaged row of a rare item holds of all counts."""


def train(stack: Stack, code: int = 0) -> str:
    """Train once; return what was logged."""
    if "trainer" in stack.processes:
        stack.stop("trainer")
    return stack.run(TRAINER, "once", environment=stack.environments["trainer"], code=code)


def _events(stack: Stack, user: str) -> None:
    ts = time.time_ns() // 1_000_000
    stack.post([Interaction(user_id=user, instrument_id=item, ts=ts) for item in ITEMS[:3]])
    stack.wait_until_folded((INTERACTIONS, COOCCURRENCES))


def named_in_models(stack: Stack, row: Row) -> None:
    """`/v1/models` names it; few instruments without categories have but one order."""
    field = row.setting.lower()
    (of_default, *_) = stack.get("/v1/models")["variants"]
    assert of_default["serves"][field] == getattr(stack.settings("trainer"), field)


@disturbing
def rolled_back(stack: Stack, row: Row) -> None:
    """There are as many generations to go back to as are kept."""
    keep = stack.settings("trainer").keep_generations
    served = []
    for _ in range(keep + 2):
        train(stack)
        served.append(generation_of(stack)[1])
    environment = stack.environments["trainer"]
    for generation in served[-2 : -2 - keep : -1]:
        stack.run("trainer", "rollback", environment=environment)
        assert generation_of(stack)[1] == generation
    said = stack.run("trainer", "rollback", environment=environment, code=1)
    assert "no earlier generation is kept: set KEEP_GENERATIONS" in said


@disturbing
def tried_out(stack: Stack, row: Row) -> None:
    """With rules a new generation is some users' first, without them all users' at once."""
    _, before = generation_of(stack)
    train(stack)
    variants = dict(generation_of(stack, user) for user in USERS)
    if row.value is None:
        assert variants.keys() == {DEFAULT_VARIANT}
        assert variants[DEFAULT_VARIANT] != before
    else:
        assert variants.keys() == {DEFAULT_VARIANT, CANARY_VARIANT}
        assert variants[DEFAULT_VARIANT] == before != variants[CANARY_VARIANT]
        stack.run("trainer", "promote", environment=stack.environments["trainer"])
        assert {generation_of(stack, u)[1] for u in USERS} == {variants[CANARY_VARIANT]}


@disturbing
def spread(stack: Stack, row: Row) -> None:
    """Users are given a variant of the file, which is served; without one it has no users."""
    environment = stack.environments["trainer"]
    said = stack.run("trainer", "weights", "spring", "few=1", environment=environment)
    served = {generation_of(stack, user) for user in USERS}
    stack.run("trainer", "weights", environment=environment)
    if row.value is None:
        assert "not served yet, so without users: few" in said
        assert {variant for variant, _ in served} == {DEFAULT_VARIANT}
    else:
        assert {variant for variant, _ in served} == {"few"}
    assert {generation_of(stack, user)[0] for user in USERS} == {DEFAULT_VARIANT}


@disturbing
def inconsistent_refused(stack: Stack, row: Row) -> None:
    """Counts in rows with some that cannot be are trained on up to the limit."""
    limit = stack.settings("trainer").quality.inconsistent_max
    own = {item: _row(stack, item)[item] for item in ITEMS}
    rare, common = min(own, key=own.__getitem__), max(own, key=own.__getitem__)
    row = row_of(rare, common)
    pair = (row, common if row == rare else rare)
    for share, (item, other), count in (
        (SMALL_SHARE, (rare, rare), 0.01),  # less than its pairs
        (1.0, pair, 1e6 * own[common]),
    ):
        key = _key(stack, item)
        was = stack.store.hget(key, str(other))
        stack.store.hset(key, str(other), count)
        _is_trained(stack, is_=limit >= share, about="row")
        if was is None:
            stack.store.hdel(key, str(other))
        else:
            stack.store.hset(key, str(other), was)
    _is_trained(stack)


@disturbing
def losses_refused(stack: Stack, row: Row) -> None:
    """Items that got lost are done without down to the limit."""
    limit = stack.settings("trainer").quality.items_kept_min
    keys = [stack.keyspace.items(partition) for partition in range(PARTITIONS)]
    there = {key: sorted(stack.store.smembers(key)) for key in keys}
    n = sum(map(len, there.values()))
    for lost in (1, n - 4):
        for item in [(key, item) for key in keys for item in there[key]][:lost]:
            stack.store.srem(*item)
        _is_trained(stack, is_=(n - lost) / n >= limit, about="items")
        for key, items in there.items():
            stack.store.sadd(key, *items)
        _is_trained(stack)


def _is_trained(stack: Stack, *, is_: bool = True, about: str = "") -> None:
    """Fail unless a run does, or does not, publish another generation."""
    _, before = generation_of(stack)
    said = train(stack, code=0 if is_ else 1)
    assert (generation_of(stack)[1] != before) == is_, said
    assert is_ or ("rejected" in said and about in said), said


@disturbing
def single_users_reported(stack: Stack, row: Row) -> None:
    """The share of items with a single user is reported above the limit."""
    train(stack)
    value = _reported_above(stack, row, "single_user")
    own = [_row(stack, item)[item] for item in _all_items(stack)]
    assert value == sum(count == 1 for count in own) / len(own)


@disturbing
def shift_reported(stack: Stack, row: Row) -> None:
    """A change in popularity is reported above the limit."""
    ts = time.time_ns() // 1_000_000
    stack.post([Interaction(user_id=f"m{n}", instrument_id=ITEMS[-1], ts=ts) for n in range(400)])
    stack.wait_until_folded((INTERACTIONS, COOCCURRENCES))
    assert 0.25 < _reported_above(stack, row, "popularity_shift", train(stack)) < 100


def _reported_above(stack: Stack, row: Row, rule: str, said: str = "") -> float:
    """Return what was measured; fail unless it is reported above the limit, and only then."""
    limit = getattr(stack.settings("trainer").quality, row.setting.removeprefix("QUALITY_").lower())
    said = said or train(stack)
    (checked,) = [each for each in served_report(stack).quality if each.rule == rule]
    assert (checked.limit, checked.holds) == (limit, checked.value <= limit)
    lines = [line for line in said.splitlines() if "the data breaks a rule" in line]
    assert any(f'"{rule}"' in line for line in lines) == (checked.value > limit)
    return checked.value


def _all_items(stack: Stack) -> list[int]:
    keys = [stack.keyspace.items(partition) for partition in range(PARTITIONS)]
    return [int(item) for key in keys for item in stack.store.smembers(key)]


def _key(stack: Stack, item: int) -> str:
    return stack.keyspace.cooc(instrument_partition(item, PARTITIONS), item)


def _row(stack: Stack, item: int) -> dict[int, float]:
    """Return an item's row of G as Redis has it."""
    fields = stack.store.hgetall(_key(stack, item))
    return {int(other): float(count) for other, count in fields.items() if other not in NOT_ITEMS}
