"""The histories of the latest active users, out of Redis."""

import msgspec
import numpy as np
import pytest

from contracts.affinities import HistoryEntry
from contracts.log_position import LogPosition
from tests.trainer.reading.wired import hashes
from tests.trainer.setup import Setup
from trainer.reading import hashes as reading
from trainer.reading import histories as active
from trainer.reading.history_hashes import parse_histories
from trainer.reading.pipelines import CorruptValueError


def test_entries_come_with_times_and_without_scales_in_the_matrixs_order(
    setup: Setup, long_row: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "FIELDS_PER_BLOCK", 300)
    random = np.random.default_rng(2)
    written: dict[tuple[str, int], HistoryEntry] = {}
    for u in range(200):
        user = f"user {u}"
        items = random.choice(2**62, size=random.integers(0, 9), replace=False).tolist()
        items += random.choice(20, size=random.integers(0, 9), replace=False).tolist()
        scale = float(random.random()) if u % 3 else 1.0
        for item in items:
            r = float(random.random() * random.choice([1, 0, -1], p=[0.9, 0.05, 0.05]))
            t = int(random.integers(10**13))
            written[user, item] = HistoryEntry(
                r, t, scale, 0.5 * (u % 2), u % 2, t - 1 if u % 3 else None
            )
        history = {str(i): msgspec.json.encode(written[user, i]) for i in items}
        setup.store.hset(setup.history_key(user), mapping={**history, "off": f"[1,{u}]"})
        setup.store.zadd(setup.active_key(user), {user: u})
    found = setup.latest(1_000)
    counts = {user for (user, _), entry in written.items() if entry.r > 0}
    some = [u for u in reversed(range(200)) if f"user {u}" in counts]
    assert found.users == [f"user {u}" for u in some]
    assert found.offsets == [LogPosition(1, u) for u in some]
    assert found.affinities.has_canonical_format
    entries = found.affinities.tocoo()
    assert len(found.ts_ms) == len(found.unscaled) == entries.nnz
    had = {
        (found.users[row], int(found.items[column])): rest
        for row, column, *rest in zip(
            entries.row,
            entries.col,
            entries.data,
            found.ts_ms,
            found.first_ms,
            found.unscaled,
            strict=True,
        )
    }
    assert had == {
        where: [entry.r, entry.t, entry.first_ms, entry.r / entry.s]
        for where, entry in written.items()
        if entry.r > 0
    }


@pytest.mark.parametrize("users_per_page", [1, 2, 2_000])
def test_users_are_taken_by_time_from_all_partitions_page_by_page(
    setup: Setup, users_per_page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(active, "_USERS_PER_PAGE", users_per_page)
    setup.fill(np.ones((20, 1)))
    for wanted in (0, 1, 7, 20, 30):
        expected = [f"u{u}" for u in reversed(range(20))][:wanted]
        assert setup.latest(wanted).users == expected


def test_a_user_on_two_pages_is_read_once(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(active, "_USERS_PER_PAGE", 2)
    store, key = setup.store, setup.keys.active(0)
    store.zadd(key, {f"u{n}": n for n in range(5)})
    users = active._active(store, key, 0, 10)
    found = [next(users)[1], next(users)[1]]
    store.zadd(key, {"new": 99})
    found += [user for _, user, _ in users]
    assert found == ["u4", "u3", "u2", "u1", "u0"]


BAD = [
    ({"101": "x"}, "field '101', value 'x': "),
    ({"101": '{"r":1}'}, """field '101', value '{"r":1}': """),
    ({"101": '{"r":1,"t":2}\r\n$3\r\n102'}, "field '101', value "),
    ({"x": '{"r":1,"t":2}'}, """field 'x', value '{"r":1,"t":2}': that is no item"""),
    ({"off": "1"}, "field `off`, value '1': "),
    ({"off": "[0,1],[0,2]"}, "field `off`, value '[0,1],[0,2]': "),
    ({"off": ""}, "field `off`, value '': "),
]


@pytest.mark.parametrize(("fields", "problem"), BAD)
def test_a_history_that_is_corrupt_is_named_and_left_out(
    setup: Setup, fields: dict[str, str], problem: str, long_row: int
) -> None:
    affinities = setup.fill(np.random.default_rng(0).random((4, 3)))
    setup.store.hset(setup.history_key("u1"), mapping=fields)
    users = setup.latest(10)
    assert users.users == ["u3", "u2", "u0"]
    assert (users.affinities.toarray() == affinities[[3, 2, 0]]).all()
    (shown,) = users.corrupt
    assert shown.startswith(f"{setup.history_key('u1')}: {problem}")
    assert users.n_corrupt == 1


def test_a_key_of_another_type_is_corrupt(setup: Setup) -> None:
    setup.fill(np.ones((3, 2)))
    setup.store.delete(setup.history_key("u1"))
    setup.store.set(setup.history_key("u1"), "{}")
    users = setup.latest(10)
    assert users.users == ["u2", "u0"]
    assert users.corrupt[0].startswith(f"{setup.history_key('u1')}: WRONGTYPE")


def test_an_index_of_another_type_ends_the_run(setup: Setup) -> None:
    setup.store.set(setup.keys.active(1), "x")
    with pytest.raises(CorruptValueError, match=r"active.* WRONGTYPE .* Repair or delete that key"):
        setup.latest(1)


def test_the_later_one_counts_of_an_entry_that_came_twice() -> None:
    first, second = ({"7": f'{{"r":{n},"t":1}}', "off": f"[0,{n}]"} for n in (1, 2))
    made = parse_histories([hashes(first)[0], hashes(second)[0]], range(1))
    assert made.affinities.tolist() == [2]
    assert made.offsets == {0: LogPosition(0, 2)}
