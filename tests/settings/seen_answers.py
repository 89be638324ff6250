"""Settings that are seen in answers: these equal a plain recomputation, and would else not."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
import pytest

from contracts.log_position import LogPosition
from contracts.messages import Quote
from tests.oracles.bars import Placed, bar_of
from tests.oracles.histories import History, counted
from tests.patience import PATIENCE_S, eventually
from tests.settings import expected_lists
from tests.settings.expected_lists import Scores, counts_used
from tests.settings.plain_histories import Counts, counts, histories
from tests.settings.rows import SETTINGS, Program, Row, Value
from tests.settings.seen_running import generation_of
from tests.settings.stack import Stack
from tests.settings.world import AWAY, GONE, MINUTE_MS, NEWCOMER, STRANGER, USERS
from trainer.generations.report import Report
from trainer.settings import AUTO, TrainerSettings
from trainer.settings_file import changed, flat_fields

ASKED_USERS: Final = (*USERS, *AWAY, *GONE, NEWCOMER, STRANGER)
LENGTH: Final = 100
"""Of a list that is asked for: no list has more, as there are fewer items."""
NEAR: Final = {"rel": 1e-9, "abs": 2e-12}
"""Sums of floats in another order; scores are rounded to 12 decimals."""

WITHIN_S: Final = PATIENCE_S
CHOSEN_BY_DEFAULT: Final = ("ITEM_MODEL", "USER_MODEL")
"""What `auto` would choose on a stack where it is not asked is not known."""

Answers = Mapping[Any, Any]


class View(NamedTuple):
    """A part of what the API answers."""

    ask: Callable[[Stack], Answers]
    expect: Callable[[Stack, Mapping[str, Value]], Answers]
    """with some settings in place of the stack's own"""


def in_force(*views: View) -> Callable[[Stack, Row], None]:
    """Return a check that a value of a setting, and no other of the matrix, makes the answers."""

    def check(stack: Stack, row: Row) -> None:
        for view in views:
            until_equal(stack, view)
        others = [
            other
            for other in {r.value for r in stack.matrix if r.setting == row.setting}
            if other != row.value and (other is not None or row.setting not in CHOSEN_BY_DEFAULT)
        ]
        assert any(
            difference(view.expect(stack, {row.setting: other}), view.expect(stack, {}))
            for other in others
            for view in views
        ), f"the answers would be the same with any other value: {others}"

    return check


def until_equal(stack: Stack, view: View) -> None:
    """Wait until the answers are as expected; fail if they are not in time."""
    found: list[str | None] = [""]

    def equal() -> bool:
        found[0] = difference(view.ask(stack), view.expect(stack, {}))
        return found[0] is None

    with contextlib.suppress(pytest.fail.Exception):
        eventually(equal, "equal", within_s=WITHIN_S)
    if found[0]:
        pytest.fail(f"{found[0]}; see {stack.folder}")


def difference(answers: Answers, expected: Answers) -> str | None:
    """Return where two answers differ, None if they do not."""
    for key, should_be in expected.items():
        is_ = answers[key]
        if not _same(is_, should_be):
            return f"of {key!r} the answer is {is_!r}, not {should_be!r}"
    return None


def _same(is_: Any, should_be: Any) -> bool:
    if isinstance(is_, tuple) and isinstance(should_be, tuple):
        return is_[0] == should_be[0] and _same(is_[1], should_be[1])
    if not isinstance(is_, dict) or not isinstance(should_be, dict) or not should_be:
        return bool(is_ == should_be)
    if not isinstance(next(iter(should_be.values())), float):
        return bool(is_ == should_be)
    if sorted(is_.values()) != pytest.approx(sorted(should_be.values()), **NEAR):
        return False
    # Which of several equal ones is the last of a cut list is the model's business.
    least = min(should_be.values())
    return all(score == pytest.approx(should_be.get(i, least), **NEAR) for i, score in is_.items())


def _scores(items: list[dict[str, Any]], of: str = "score") -> Scores:
    """Return the scores of a list, best first."""
    scores = [item[of] for item in items]
    assert of != "score" or scores == sorted(scores, reverse=True)
    return {item["instrument_id"]: float(item[of]) for item in items}


# Histories.


def known_histories(stack: Stack, other: Mapping[str, Value]) -> dict[str, History]:
    """Return the history of each user, but for those who were taken out."""
    workers = stack.settings("workers", **_of("workers", other))
    found = histories(stack.world.events, workers)
    return {user: history for user, history in found.items() if user not in stack.taken_out}


def _ask_histories(stack: Stack) -> Answers:
    answers = {user: stack.get(f"/v1/users/{user}/history") for user in ASKED_USERS}
    return {u: _scores(a["items"], "affinity") if a else None for u, a in answers.items()}


def _expect_histories(stack: Stack, other: Mapping[str, Value]) -> Answers:
    known = known_histories(stack, other)
    return {
        user: {i: held.affinity for i, held in known[user].items()} if user in known else None
        for user in ASKED_USERS
    }


AFFINITIES: Final = View(_ask_histories, _expect_histories)

# Lists.


def _counts(stack: Stack, other: Mapping[str, Value]) -> Counts:
    """Return G, of the items that somebody still has."""
    known = known_histories(stack, other)
    return counts(known, sorted({item for history in known.values() for item in counted(history)}))


def _of(program: Program, other: Mapping[str, Value]) -> Mapping[str, Value]:
    """Return those of some settings that a program has."""
    fields = flat_fields(SETTINGS[program])
    return {name: value for name, value in other.items() if name.lower() in fields}


def _trainer(stack: Stack, other: Mapping[str, Value]) -> TrainerSettings:
    """Return what lists are made with: where something was chosen, what the served report says."""
    settings: TrainerSettings = stack.settings("trainer", **_of("trainer", other))
    report, chosen = served_report(stack), {}
    if AUTO in (settings.item_model, settings.user_model):
        assert report.selection
        chosen |= report.selection.found.values
    if settings.config("popular").half_life_days is None:
        chosen["popular_half_life_days"] = report.settings["popular"]["half_life_days"]
    chosen = {k: v for k, v in chosen.items() if k.upper() not in other}
    made: TrainerSettings = changed(settings, chosen)
    return made


def served_report(stack: Stack) -> Report:
    """Return what the generation that strangers get says of itself."""
    stored = stack.store.get(stack.keyspace.model_report(generation_of(stack)[1]))
    return msgspec.json.decode(stored, type=Report)


def _items(stack: Stack) -> list[int]:
    return sorted({event.instrument_id for event in stack.world.events})


def _ask_similar(stack: Stack) -> Answers:
    paths = {item: f"/v1/instruments/{item}/similar" for item in _items(stack)}
    answers = {item: stack.get(path, n=LENGTH) for item, path in paths.items()}
    return {item: _scores(a["items"]) if a else {} for item, a in answers.items()}


def _expect_similar(stack: Stack, other: Mapping[str, Value]) -> Answers:
    lists = _item_lists(stack, other)
    return {item: {j: s for j, s in lists.get(item, {}).items() if s > 0} for item in _items(stack)}


def _item_lists(stack: Stack, other: Mapping[str, Value]) -> dict[int, Scores]:
    """Return the items' lists, with what speaks against an item."""
    trainer = _trainer(stack, other)
    made_of = counts_used(_counts(stack, other), known_histories(stack, other), trainer)
    return expected_lists.similar(made_of, trainer)


SIMILAR: Final = View(_ask_similar, _expect_similar)


def _ask_popular(stack: Stack) -> Answers:
    path = f"/v1/users/{STRANGER}/recommendations"
    answer = stack.get(path, n=LENGTH)
    return {STRANGER: (answer["source"], _scores(answer["items"]))}


def _expect_popular(stack: Stack, other: Mapping[str, Value]) -> Answers:
    trainer = _trainer(stack, other)
    known = known_histories(stack, other)
    return {STRANGER: ("popular", expected_lists.popular(_counts(stack, other), known, trainer))}


POPULAR: Final = View(_ask_popular, _expect_popular)


def _ask_recommended(stack: Stack) -> Answers:
    paths = {user: f"/v1/users/{user}/recommendations" for user in (*USERS, NEWCOMER)}
    answers = {user: stack.get(path, n=LENGTH) for user, path in paths.items()}
    # What continues a short answer has a source, and scores, of its own.
    first = {u: [item for item in a["items"] if "source" not in item] for u, a in answers.items()}
    return {user: (a["source"], _scores(first[user])) for user, a in answers.items()}


def _expect_recommended(stack: Stack, other: Mapping[str, Value]) -> Answers:
    trainer = _trainer(stack, other)
    known = known_histories(stack, other)
    lists = _item_lists(stack, other)
    own = expected_lists.own_lists(known, trainer)
    popular = expected_lists.popular(_counts(stack, other), known, trainer)

    def chosen(user: str) -> tuple[str, Scores]:
        if own.get(user):
            return "model", own[user]
        if folded := expected_lists.folded_in(known.get(user, {}), lists, trainer):
            return "history", folded
        has = known.get(user, {})
        return "popular", {item: score for item, score in popular.items() if item not in has}

    return {user: chosen(user) for user in (*USERS, NEWCOMER)}


RECOMMENDED: Final = View(_ask_recommended, _expect_recommended)

# Bars.


def _ask_bars(stack: Stack) -> Answers:
    instruments = sorted({quote.instrument_id for quote in stack.world.quotes})
    answers = {i: stack.get(f"/v1/instruments/{i}/bars", limit=1000) for i in instruments}
    shown = "tohlcvn"
    return {
        i: [tuple(bar[letter] for letter in shown) for bar in answer["bars"]] if answer else []
        for i, answer in answers.items()
    }


def _expect_bars(stack: Stack, other: Mapping[str, Value]) -> Answers:
    workers = stack.settings("workers", **_of("workers", other))
    retention = workers.bars_retention_minutes
    of_instrument: dict[int, dict[int, list[Quote]]] = {}
    for quote in stack.world.quotes:
        minutes = of_instrument.setdefault(quote.instrument_id, {})
        minutes.setdefault(quote.ts // MINUTE_MS, []).append(quote)
    return {
        instrument: [
            _bar(minute, some)
            for minute, some in sorted(minutes.items())
            if minute > max(minutes) - retention
        ]
        for instrument, minutes in of_instrument.items()
    }


def _bar(minute: int, quotes: list[Quote]) -> tuple[float, ...]:
    """Return a bar of quotes in the log's order, which decides at one event time."""
    placed = (
        Placed(q.ts, LogPosition(0, offset), q.price, q.size) for offset, q in enumerate(quotes)
    )
    bar = bar_of(placed)
    return (minute * MINUTE_MS, bar.o, bar.h, bar.l, bar.c, bar.v, bar.n)


BARS: Final = View(_ask_bars, _expect_bars)
