"""Settings that are seen in what `auto` tries and chooses, and in what its report says of that."""

from tests.settings.rows import Row
from tests.settings.seen_answers import RECOMMENDED, SIMILAR, in_force, served_report
from tests.settings.stack import Stack
from tests.settings.world import ITEMS, STRANGER
from trainer.judging.found import Found
from trainer.selection.auto import UNLESS_BETTER
from trainer.settings_file import changed


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


def chosen_by_coverage(stack: Stack, row: Row) -> None:
    """Of the candidates nearly as accurate as the best, the one with most coverage is chosen.

    Where none leads beyond chance, nothing is given up.
    """
    given_up = stack.settings("trainer").auto.accuracy_given_up
    found = _found(stack)
    if found.values == UNLESS_BETTER:
        assert found.why.endswith("other candidates is beyond chance")
        return
    best = max(tried.ndcg for tried in found.tried)
    able = [tried for tried in found.tried if tried.ndcg >= best * (1 - given_up)]
    assert len(able) > 1
    (chosen,) = [tried for tried in found.tried if tried.values == found.values]
    assert found.ndcg == chosen.ndcg
    if given_up:
        assert chosen.coverage == max(tried.coverage for tried in able)
    else:
        assert chosen.ndcg == best


def _found(stack: Stack) -> Found:
    selection = served_report(stack).selection
    assert selection
    return selection.found
