"""Request ids: what they say, and that no two are the same."""

import re
from concurrent.futures import ThreadPoolExecutor

from api.request_ids import _TOKENS_AT_ONCE, new_request_id
from contracts.feedback import TOKEN_CHARACTERS, RequestId, parse_request_id


def new() -> str:
    return new_request_id("default", "20210815T211000Z-7", "history")


def test_an_id_is_read_back_as_what_it_was_made_of() -> None:
    first, second = parse_request_id(new()), parse_request_id(new())
    assert first == RequestId("default", "20210815T211000Z-7", "history", first.token)
    assert second[:3] == first[:3]
    assert second.token != first.token


def test_an_id_goes_into_a_url_as_it_is() -> None:
    longest = new_request_id("v" * 32, "g" * 32, "s" * 32)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", longest)


def test_every_token_is_new_over_many_batches_and_whichever_thread_asks() -> None:
    count = 20 * _TOKENS_AT_ONCE
    with ThreadPoolExecutor(4) as pool:
        tokens = set(pool.map(lambda _: parse_request_id(new()).token, range(count)))
    assert len(tokens) == count
    # Random ones: each of the 64 characters stands at each place.
    assert {len(set(place)) for place in zip(*tokens, strict=True)} == {64}
    assert {len(token) for token in tokens} == {TOKEN_CHARACTERS}
