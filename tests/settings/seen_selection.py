"""Settings that are seen in what `auto` tries and chooses, and in what its report says of that."""

import time
from typing import Final

import numpy as np

from contracts.messages import Interaction
from contracts.topics import COOCCURRENCES, INTERACTIONS
from tests.settings.plain_lists import rows
from tests.settings.rows import Row, disturbing
from tests.settings.seen_answers import (
    RECOMMENDED,
    SIMILAR,
    in_force,
    known_histories,
    served_report,
    until_equal,
)
from tests.settings.seen_publication import train
from tests.settings.stack import Stack
from tests.settings.world import ITEMS, STRANGER, USERS
from trainer.settings_file import changed
from trainer.tuning.auto import LEAST_USERS
from trainer.tuning.found import Found

MUCH_MORE: Final = 0.5
"""Events that are added, for one of those that there are."""


def as_chosen(stack: Stack, row: Row) -> None:
    """What is served was made with the settings that the report says were chosen."""
    in_force(SIMILAR, RECOMMENDED)(stack, row)
    report, asked = served_report(stack), stack.settings("trainer")
    assert report.selection
    assert report.asked == asked.of_generation()
    assert report.settings == changed(asked, report.selection.found.values).of_generation()
    answer = stack.get(f"/v1/users/{STRANGER}/recommendations")
    assert answer["generation"] == report.generation
    similar = stack.get(f"/v1/instruments/{ITEMS[0]}/similar")
    assert similar["model"] == report.settings["item_model"]


def users_held_out(stack: Stack, row: Row) -> None:
    """The latest items of so many users are held out, and of too few nothing is said."""
    most = stack.settings("trainer").auto.sample_users
    held_out = served_report(stack).held_out
    if most < LEAST_USERS:
        assert held_out is None
        return
    assert held_out
    n_users = len(known_histories(stack, {}))
    assert LEAST_USERS <= held_out.users <= min(most, n_users)
    others = [int(str(r.value)) for r in stack.matrix if r.setting == row.setting and r.value]
    assert row.value is not None or held_out.users > max(others)


def chosen_by_coverage(stack: Stack, row: Row) -> None:
    """Of the candidates nearly as accurate as the best, the one with most coverage is chosen."""
    given_up = stack.settings("trainer").auto.accuracy_given_up
    found = _found(stack)
    best = max(tried.ndcg for tried in found.tried)
    able = [tried for tried in found.tried if tried.ndcg >= best * (1 - given_up)]
    assert len(able) > 1
    (chosen,) = [tried for tried in found.tried if tried.values == found.values]
    assert found.ndcg == chosen.ndcg
    if given_up:
        assert chosen.coverage == max(tried.coverage for tried in able)
    else:
        assert chosen.ndcg == best


@disturbing
def looked_again(stack: Stack, row: Row) -> None:
    """A choice is kept until there is so much more data."""
    train(stack)
    changed_most = stack.settings("trainer").auto.data_changed
    before = served_report(stack).selection
    _post_more(stack, 1)
    assert _retrained(stack) == before
    _post_more(stack, round(len(stack.world.events) * MUCH_MORE))
    assert (_retrained(stack) == before) == (changed_most > MUCH_MORE)


def neighbors_compared(stack: Stack, row: Row) -> None:
    """With few pairs some users get the list of another one than the nearest, with all nobody.

    One neighbor is a neighborhood there, so each list is of one user's row.
    """
    settings = stack.settings("trainer")
    if row.value is None:
        until_equal(stack, RECOMMENDED)
        return
    known = known_histories(stack, {})
    users = sorted(known)
    items, x = rows(known, users, settings)
    distances = np.linalg.norm(x[:, None] - x[None, :], axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = 0
    for place, user in enumerate(users):
        answer = stack.get(f"/v1/users/{user}/recommendations", n=len(items))
        if answer["source"] != "model":
            continue
        listed = {item["instrument_id"]: item["score"] for item in answer["items"]}
        new = np.where(x[place] > 0, 0, x)
        scores = np.array([listed.get(item, 0) for item in items])
        (alike,) = np.nonzero(np.isclose(new, scores, rtol=1e-9, atol=1e-9).all(axis=1))
        assert len(alike), (user, listed)
        nearest += distances[place, alike].min() <= distances[place].min() * (1 + 1e-9)
    assert 0 < nearest < len(users), nearest


def _found(stack: Stack) -> Found:
    selection = served_report(stack).selection
    assert selection
    return selection.found


def _retrained(stack: Stack) -> object:
    """Return what was chosen for lists that are made now."""
    train(stack)
    return served_report(stack).selection


def _post_more(stack: Stack, n: int) -> None:
    ts = time.time_ns() // 1_000_000
    stack.post(
        [
            Interaction(user_id=USERS[k % len(USERS)], instrument_id=ITEMS[k % len(ITEMS)], ts=ts)
            for k in range(n)
        ]
    )
    stack.wait_until_folded((INTERACTIONS, COOCCURRENCES))
