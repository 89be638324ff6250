"""The `request_id` of an answer: names its origin and proves that this service issued it.

A client sends it back with feedback on the answer (`POST /v1/feedback`). The server stores nothing:
the id contains its parts, to be read with `contracts.feedback.parse_request_id`, and a signature of
these and of the user. So nobody can skew the results with made-up ids, with an answer to another
user, or for an instrument that was not in it. A client that may read can still request answers in
any user's name and send clicks on them: `API_KEYS` keeps out strangers.

The signing key is a secret in Redis that the first process creates. So all processes of a namespace
share it across restarts, and there is no setting to forget. Anyone with access to Redis can sign,
but could write what is served anyway. To rotate the key, replace it in Redis: feedback on earlier
answers is then rejected.

Similar and trending instruments and those for a basket are for no user: their ids are valid with
any user's feedback. Similar and trending answers are kept for all who request the same, so their
ids are made of what they have: equal answers have equal ids, in every process.

Recommendations are reads, and must not fail because Redis accepts no writes. While there is no key
and none can be written, each process signs with its own and tries again for every answer. Other
processes reject feedback on such an answer, and so does this one if another key is written first.
"""

import base64
import hmac
import os
import secrets
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, Literal

from api.redis.connection import ErrorAnswer
from api.redis.reading import Read
from contracts.feedback import (
    SHARED_SOURCES,
    SIGNATURE_CHARACTERS,
    TOKEN_CHARACTERS,
    encode_shown,
    parse_request_id,
)
from contracts.keyspace import Keyspace

SharedSource = Literal["similar", "trending"]

_TOKENS_AT_ONCE: Final = 512
"""Requested in bulk: system randomness costs more than the rest of an id."""
_BYTES_AT_ONCE: Final = _TOKENS_AT_ONCE * TOKEN_CHARACTERS * 3 // 4
"""Base64 encodes 3 bytes as 4 characters, without padding for multiples of 3."""
_SIGNATURE_BYTES: Final = 16
_KEY_BYTES: Final = 32

_NOBODY: Final = ""
"""Signed for instead of a user: no user's id is empty."""

_unused: list[str] = []


class Signer:
    """Issues request ids, and verifies them."""

    def __init__(self, key: bytes) -> None:
        """Sign with a key of up to 64 bytes."""
        # Copied for each signature: setting up the key costs as much as all the rest.
        self._keyed = blake2b(key=key, digest_size=_SIGNATURE_BYTES)

    def new(
        self, variant: str, generation: str, source: str, user_id: str, items: Sequence[int]
    ) -> str:
        """Return a unique id that cannot be guessed.

        It has 132 random bits from the system: among 10^15 ids, two are equal with a probability of
        10^-10, so processes need no coordination.

        Args:
            variant: of the answer, as `contracts.feedback.NAME` allows.
            generation: of the answer, as `contracts.feedback.NAME` allows.
            source: of the answer, as `contracts.feedback.NAME` allows.
            user_id: the user of the answer.
            items: the recommended items.

        >>> Signer(b"key").new("default", "20210815T211000Z-7", "history", "ABC", [4])[:-44]
        'default.20210815T211000Z-7.history.BAA.'
        """
        signed = f"{variant}.{generation}.{source}.{encode_shown(items)}.{_token()}"
        return signed + self._signature(signed, user_id)

    def for_items(self, variant: str, generation: str, items: Sequence[int]) -> str:
        """Return a unique id of an answer for a basket; the arguments are those of `new`."""
        return self.new(variant, generation, "items", _NOBODY, items)

    def kept(
        self, variant: str, generation: str, source: SharedSource, items: Sequence[int]
    ) -> str:
        """Return the id of an answer that is kept for all: the same for the same arguments.

        >>> signer = Signer(b"key")
        >>> first, again = [signer.kept("v", "g", "similar", [4]) for _ in range(2)]
        >>> first == again, signer.made(first, "ABC")
        (True, True)
        """
        parts = f"{variant}.{generation}.{source}.{encode_shown(items)}"
        # With a blank first, this is the signature of no id.
        signed = f"{parts}.{self._signature(f' {parts}', _NOBODY)}"
        return signed + self._signature(signed, _NOBODY)

    def made(self, request_id: str, user_id: str) -> bool:
        """Return whether a well-formed id was issued here, for this user or for none.

        >>> signer = Signer(b"key")
        >>> signer.made(signer.new("v", "g", "history", "ABC", [4]), "ABD")
        False
        """
        signed, signature = request_id[:-SIGNATURE_CHARACTERS], request_id[-SIGNATURE_CHARACTERS:]
        is_shared = parse_request_id(request_id).source in SHARED_SOURCES
        made_for = _NOBODY if is_shared else user_id
        return hmac.compare_digest(self._signature(signed, made_for), signature)

    def _signature(self, signed: str, user_id: str) -> str:
        # The parts contain no blanks, and the user comes last: different inputs have different
        # bytes.
        keyed = self._keyed.copy()
        keyed.update(f"{signed} {user_id}".encode())
        return base64.urlsafe_b64encode(keyed.digest())[:SIGNATURE_CHARACTERS].decode()


class RequestIds:
    """The signer of a namespace."""

    def __init__(self, keys: Keyspace) -> None:
        self._name = keys.request_id_key()
        self._key = secrets.token_urlsafe(_KEY_BYTES).encode()
        """The last known one; at first this process's own, written if there is none."""
        self._signer: Signer | None = None
        """None until the key was read or written."""

    def signer(self) -> Read[Signer]:
        """Return the signer; its key is read once, or written if there is none."""
        return self._signer or (yield from self.latest())

    def latest(self) -> Read[Signer]:
        """Return the signer with the key that is in Redis now.

        A store that lost its data lost the key, too. The first process then writes its own, and all
        others adopt that one as soon as they receive feedback.
        """
        (key,) = yield [("GET", self._name)]
        if key is None:
            try:
                (others,) = yield [("SET", self._name, self._key, "NX", "GET")]
            except ErrorAnswer as error:
                if not error.is_refusal:
                    raise
                return self._signer or Signer(self._key)
            key = others or self._key
        if self._signer is None or key != self._key:
            self._key, self._signer = key, Signer(key)
        return self._signer


def _token() -> str:
    try:
        return _unused.pop()
    except IndexError:
        text = base64.urlsafe_b64encode(os.urandom(_BYTES_AT_ONCE)).decode()
        starts = range(0, len(text), TOKEN_CHARACTERS)
        _unused.extend(text[start : start + TOKEN_CHARACTERS] for start in starts)
        return _unused.pop()
