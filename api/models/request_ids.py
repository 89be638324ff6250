"""The `request_id` of an answer: says what it came from and proves that this service made it.

A client sends it back with what became of the answer (`POST /v1/feedback`). Nothing is kept of it
here: the parts stand in it, to be read with `contracts.feedback.parse_request_id`, and a signature
of them and the user whom the answer was for. So nobody can vote for a generation with ids that are
made up, with an answer to another user, or for an instrument that was not in it. Who may read
can still ask in any user's name and send clicks on that answer: `API_KEYS` keeps strangers from
sending any.

The key is a secret in Redis that the first process makes. So all processes of a namespace have the
same, restarted or not, and there is no setting to forget: whoever may read Redis may sign, but
could as well write what is served. To change the key, put another one there: feedback on answers of
before is then refused.

Recommendations are reads, and do not fail because Redis takes no writes. While there is no key and
none can be written, each process signs with its own and tries again for every answer. Another one
refuses feedback on such an answer, and so does this one if another's key is written first.
"""

import base64
import hmac
import os
import secrets
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from api.redis.connection import ErrorAnswer
from api.redis.reading import Read
from contracts.feedback import SIGNATURE_CHARACTERS, TOKEN_CHARACTERS, encode_shown
from contracts.keyspace import Keyspace

_TOKENS_AT_ONCE: Final = 512
"""Asking the system for randomness costs more than all the rest of an id: it is asked rarely."""
_BYTES_AT_ONCE: Final = _TOKENS_AT_ONCE * TOKEN_CHARACTERS * 3 // 4
"""Base64 makes 4 characters of 3 bytes, and no padding of a multiple of 3."""
_SIGNATURE_BYTES: Final = 16
_KEY_BYTES: Final = 32

_unused: list[str] = []


class Signer:
    """Makes request ids, and knows its own."""

    def __init__(self, key: bytes) -> None:
        """Sign with a key of up to 64 bytes."""
        # Copied for each signature: beginning with the key costs as much as all the rest.
        self._keyed = blake2b(key=key, digest_size=_SIGNATURE_BYTES)

    def new(
        self, variant: str, generation: str, source: str, user_id: str, items: Sequence[int]
    ) -> str:
        """Return an id that no other answer has, and that nobody can guess.

        It has 132 random bits of the system's: two of 10^15 ids are the same with a probability of
        10^-10, so processes need not know of each other.

        Args:
            variant: what the answer was made with, as `contracts.feedback.NAME` allows.
            generation: likewise.
            source: likewise.
            user_id: whom it is for.
            items: what is recommended.

        >>> Signer(b"key").new("default", "20210815T211000Z-7", "history", "ABC", [4])[:-44]
        'default.20210815T211000Z-7.history.BAA.'
        """
        signed = f"{variant}.{generation}.{source}.{encode_shown(items)}.{_token()}"
        return signed + self._signature(signed, user_id)

    def made(self, request_id: str, user_id: str) -> bool:
        """Return whether an id of the right form was made here, for this user.

        >>> signer = Signer(b"key")
        >>> signer.made(signer.new("v", "g", "history", "ABC", [4]), "ABD")
        False
        """
        signed, signature = request_id[:-SIGNATURE_CHARACTERS], request_id[-SIGNATURE_CHARACTERS:]
        return hmac.compare_digest(self._signature(signed, user_id), signature)

    def _signature(self, signed: str, user_id: str) -> str:
        # The parts have no blanks, and the user comes last: no two inputs have the same bytes.
        keyed = self._keyed.copy()
        keyed.update(f"{signed} {user_id}".encode())
        return base64.urlsafe_b64encode(keyed.digest())[:SIGNATURE_CHARACTERS].decode()


class RequestIds:
    """The signer of a namespace."""

    def __init__(self, keys: Keyspace) -> None:
        self._name = keys.request_id_key()
        self._key = secrets.token_urlsafe(_KEY_BYTES).encode()
        """The last known one; until then this process's own, written if there is none."""
        self._signer: Signer | None = None
        """None until the key was read or written."""

    def signer(self) -> Read[Signer]:
        """Return the signer; its key is read once, and written if there is none."""
        return self._signer or (yield from self.latest())

    def latest(self) -> Read[Signer]:
        """Return the signer with the key that is in Redis now.

        A store that lost its data lost the key, too. Whoever comes first then puts its own there,
        and all others take that one as soon as feedback reaches them.
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
