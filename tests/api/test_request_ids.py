"""Request ids: content, uniqueness, and who can issue them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from api.generations.request_ids import _TOKENS_AT_ONCE, RequestIds, Signer
from api.redis.connection import ErrorAnswer
from api.redis.reading import Read
from contracts.feedback import NAME, TOKEN_CHARACTERS, parse_request_id

from .conftest import Filled
from .reading import run

SIGNER = Signer(b"a key")
names = st.from_regex(NAME, fullmatch=True)
users = st.text(st.characters(codec="utf-8"), min_size=1, max_size=32)
answers = st.tuples(names, names, names, users)


def new() -> str:
    return SIGNER.new("default", "20210815T211000Z-7", "history", "ABC", [4])


def test_every_token_is_unique_over_many_batches_and_threads() -> None:
    count = 20 * _TOKENS_AT_ONCE
    with ThreadPoolExecutor(4) as pool:
        tokens = set(pool.map(lambda _: parse_request_id(new()).token, range(count)))
    assert len(tokens) == count
    # Random: each of the 64 characters occurs at each position.
    assert {len(set(place)) for place in zip(*tokens, strict=True)} == {64}
    assert {len(token) for token in tokens} == {TOKEN_CHARACTERS}


@given(answers, users)
def test_an_id_is_read_back_and_known_again_for_its_own_user_and_by_its_own_key_only(
    answer: tuple[str, str, str, str], other: str
) -> None:
    made, user = SIGNER.new(*answer, [4]), answer[3]
    assert parse_request_id(made)[:3] == answer[:3]
    assert SIGNER.made(made, user)
    assert SIGNER.made(made, other) == (other == user)
    assert not Signer(b"another key").made(made, user)


@given(answers, answers)
def test_a_signature_is_of_one_answer(
    first: tuple[str, str, str, str], second: tuple[str, str, str, str]
) -> None:
    parts = parse_request_id(SIGNER.new(*first, [4]))
    moved = f"{'.'.join(second[:3])}.{parts.shown}.{parts.token}{parts.signature}"
    assert SIGNER.made(moved, second[3]) == (first == second)


def test_all_processes_of_a_namespace_have_one_key_that_the_first_makes(
    store_url: str, filled: Filled
) -> None:
    with Redis.from_url(store_url) as raw:
        raw.set_response_callback("SET", lambda answer, **_: answer)
        reads = [RequestIds(filled.keys).signer() for _ in range(2)]
        assert [raw.execute_command(*next(read)[0]) for read in reads] == [None, None]
        # Both found none, so both make one: the first one counts.
        commands = [read.send([None])[0] for read in reads]
        kept = [raw.execute_command(*command) for command in commands]
        first, second = (
            resumed_with(answer, read) for answer, read in zip(kept, reads, strict=True)
        )
        later = run(RequestIds(filled.keys).signer(), raw, filled)
    made = first.new("v", "g", "history", "ABC", [4])
    assert second.made(made, "ABC")
    assert later.made(made, "ABC")


def test_after_the_store_lost_the_key_all_processes_have_one_again(
    store_url: str, filled: Filled
) -> None:
    with Redis.from_url(store_url) as raw:
        raw.set_response_callback("SET", lambda answer, **_: answer)
        key = filled.keys.request_id_key()
        one, another = RequestIds(filled.keys), RequestIds(filled.keys)
        run(one.signer(), raw, filled)
        raw.delete(key)
        run(another.signer(), raw, filled)  # comes when there is none
        made = run(another.signer(), raw, filled).new("v", "g", "history", "ABC", [4])
        assert not run(one.signer(), raw, filled).made(made, "ABC")
        assert run(one.latest(), raw, filled).made(made, "ABC")
        raw.delete(key)
        assert run(one.latest(), raw, filled).made(made, "ABC")  # puts its own there
        assert run(RequestIds(filled.keys).signer(), raw, filled).made(made, "ABC")


@pytest.mark.parametrize("refusal", ["OOM no memory", "NOREPLICAS too few", "MISCONF disk full"])
def test_while_no_key_can_be_written_ids_are_signed_and_writing_is_tried_for_each(
    refusal: str, filled: Filled
) -> None:
    def refused() -> Signer:
        read = ids.signer()
        next(read)
        (command,) = read.send([None])
        assert command[0] == "SET"
        return ended_by(lambda: read.throw(ErrorAnswer(refusal)))

    ids = RequestIds(filled.keys)
    made = [refused().new("v", "g", "history", "ABC", [4]) for _ in range(2)]
    read = ids.signer()
    next(read)
    read.send([None])
    later = resumed_with(None, read)
    assert all(later.made(one, "ABC") for one in made)
    with pytest.raises(StopIteration):  # asks for nothing any more
        next(ids.signer())


def test_an_error_that_is_no_refusal_is_not_passed_over(filled: Filled) -> None:
    read = RequestIds(filled.keys).signer()
    next(read)
    read.send([None])
    with pytest.raises(ErrorAnswer, match="syntax"):
        read.throw(ErrorAnswer("ERR syntax error"))


def resumed_with(answer: object, read: Read[Signer]) -> Signer:
    """Return the result of a read after its last answer."""
    return ended_by(lambda: read.send([answer]))


def ended_by(step: Callable[[], object]) -> Signer:
    """Return the result of a read's last step."""
    with pytest.raises(StopIteration) as returned:
        step()
    signer: Signer = returned.value.value
    return signer
