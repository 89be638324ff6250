"""What users were shown, as a run's log of feedback makes it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from tests.chaos.log import Mark
from tests.chaos.truth.messages import Marked

_ITEMS: Final = 200
_ANSWERS: Final = 3
_TOKEN: Final = 6

Item = tuple[int, int, list[str]]
"""impressions since the last click, the latest time in ms, and the answers, latest first"""


@dataclass(slots=True)
class User:
    """The items that a user was shown, those of the latest 200."""

    items: dict[int, Item] = field(default_factory=dict)
    mark: Mark = (0, 0)


def shown_to(messages: Iterable[Marked]) -> dict[str, User]:
    """Return what each user was shown; the messages of a run are recent, so none is too old."""
    users: dict[str, User] = {}
    for mark, message in messages:
        of = users.setdefault(message["user_id"], User())
        item, is_click = message["instrument_id"], message["type"] == "click"
        token = message["request_id"].rpartition(".")[2][:_TOKEN]
        n, latest_ms, answers = of.items.get(item, (0, 0, []))
        if "c" + token in answers or (not is_click and "i" + token in answers):
            continue
        others = [answer for answer in answers if answer != "i" + token]
        answers = [("c" if is_click else "i") + token, *others][:_ANSWERS]
        of.items[item] = (0 if is_click else n + 1, max(latest_ms, message["ts"]), answers)
        of.mark = mark
        while len(of.items) > _ITEMS:
            del of.items[min(of.items, key=lambda item: (of.items[item][1], item))]
    return {user: of for user, of in users.items() if of.items}
