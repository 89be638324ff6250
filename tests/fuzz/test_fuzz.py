"""A short version of `python -m tests.fuzz`."""

from tests.fuzz.cases import case, cases
from tests.fuzz.run import run
from tests.fuzz.served import Served

CASES = 1500


async def test_whatever_is_sent_is_answered_by_the_rules_and_harms_no_later_answer(
    api: Served, seed: int
) -> None:
    assert api.wrong_answers() == []
    tally = await run(api.port, cases(seed, CASES))
    assert not tally.findings, "\n".join(map(str, tally.findings))
    assert tally.cases == CASES
    assert api.wrong_answers() == []
    assert api.log_complaints() == []


def test_a_case_is_the_same_whatever_came_before_it() -> None:
    assert list(cases(7, 50))[-1] == case(7, 49)
    assert len({each.wire() for each in cases(7, 200)}) > 150
