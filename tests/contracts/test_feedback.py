"""Feedback on the wire, and the request ids in it."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.feedback import (
    FEEDBACK_TYPES,
    MAX_POSITION,
    MAX_SHOWN,
    NAME,
    Feedback,
    RequestId,
    decode_feedback,
    encode_feedback,
    encode_shown,
    feedback_key,
    may_be_of,
    parse_request_id,
)
from contracts.messages import MAX_AHEAD_MS, MAX_INSTRUMENT_ID, MAX_USER_ID_BYTES
from contracts.times import MAX_TS_MS
from tests.contracts.test_messages import user_ids

NOW_MS = 1_700_000_000_000
TOKEN = "Jq3xT0mBzv9cWd2LrK5uYA"
SIGNATURE = "bRqW9nT2xYc0LmVd8sKfPA"
REQUEST_ID = f"default.20210815T211000Z-7.history.BAA.{TOKEN}{SIGNATURE}"
GOOD = {
    "type": "click",
    "request_id": REQUEST_ID,
    "user_id": "ABC",
    "instrument_id": 4,
    "position": 1,
    "ts": NOW_MS,
}
NO_REQUEST_IDS = [
    "",
    "x",
    f"default.history.{TOKEN}",
    f"..history.{TOKEN}",
    REQUEST_ID + "A",
    REQUEST_ID + "\n",
    "\n" + REQUEST_ID,
    REQUEST_ID.replace("default", "dé"),
    REQUEST_ID.replace("default", "v" * 33),
    REQUEST_ID.replace("20210815T211000Z", "g" * 33),
    REQUEST_ID.replace(TOKEN, "٤" * 22),
    REQUEST_ID.replace("BAA", "A" * 268),
    REQUEST_ID.replace(".BAA", ".BAA.AQ"),
    REQUEST_ID.replace(".BAA", ""),
    REQUEST_ID.removesuffix(SIGNATURE),
]
RULES: dict[str, tuple[Any, ...]] = {
    "type": (..., "purchase", None),
    "request_id": (..., 5, *NO_REQUEST_IDS),
    "user_id": (..., "", "x" * (MAX_USER_ID_BYTES + 1), "é" * MAX_USER_ID_BYTES),
    "instrument_id": (..., -1, MAX_INSTRUMENT_ID + 1, "4"),
    "position": (..., 0, MAX_POSITION + 1, 1.5),
    "ts": (-1, MAX_TS_MS + 1, NOW_MS + MAX_AHEAD_MS + 1),
}

names = st.from_regex(NAME, fullmatch=True)
request_ids = st.builds(
    lambda *parts: ".".join(parts),
    names,
    names,
    names,
    st.from_regex("[A-Za-z0-9_-]{0,267}", fullmatch=True),
    st.from_regex("[A-Za-z0-9_-]{44}", fullmatch=True),
)
feedback = st.builds(
    Feedback,
    type=st.sampled_from(FEEDBACK_TYPES),
    request_id=request_ids,
    user_id=user_ids,
    instrument_id=st.integers(0, MAX_INSTRUMENT_ID),
    position=st.integers(1, MAX_POSITION),
    ts=st.integers(0, NOW_MS + MAX_AHEAD_MS),
)


def changed(**fields: Any) -> bytes:
    """Return the record value of good feedback with other fields; `...` leaves one out."""
    return json.dumps({n: v for n, v in (GOOD | fields).items() if v is not ...}).encode()


@given(feedback)
def test_feedback_is_read_back_as_it_was_written(message: Feedback) -> None:
    assert decode_feedback(encode_feedback(message), NOW_MS) == message
    assert feedback_key(message) == message.user_id.encode()


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in RULES.items() for value in values]
)
def test_each_broken_rule_has_a_reason_that_names_the_field(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"`?(\$\.)?{field}`?") as caught:
        decode_feedback(changed(**{field: value}), NOW_MS)
    assert len(str(caught.value)) <= 500


@given(st.binary())
def test_no_bytes_whatever_raise_anything_but_a_reason(value: bytes) -> None:
    with contextlib.suppress(ValueError):
        decode_feedback(value, NOW_MS)


@given(names, names, names)
def test_a_request_id_says_what_the_answer_was_made_with(
    variant: str, generation: str, source: str
) -> None:
    text = f"{variant}.{generation}.{source}.BAA.{TOKEN}{SIGNATURE}"
    parts = RequestId(variant, generation, source, "BAA", TOKEN, SIGNATURE)
    assert parse_request_id(text) == parts
    assert parse_request_id(text.replace(".BAA.", "..")) == parts._replace(shown="")


@given(st.lists(st.integers(0, MAX_INSTRUMENT_ID), max_size=MAX_SHOWN), st.integers(0, 2**16 - 1))
def test_a_request_id_distinguishes_shown_items_from_the_rest_of_a_catalog(
    items: list[int], other: int
) -> None:
    request = parse_request_id(f"v.g.history.{encode_shown(items)}.{TOKEN}{SIGNATURE}")
    assert all(may_be_of(request, item) for item in items)
    assert may_be_of(request, other) == (other in {item % 2**16 for item in items})
