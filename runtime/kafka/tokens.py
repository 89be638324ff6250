"""Tokens of OAuth 2.0 for clients that log in by themselves (RFC 6749, section 4.4)."""

import base64
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

_WITHIN_S: Final = 10
_SAID_BYTES: Final = 300


class TokenError(RuntimeError):
    """The endpoint refuses a token; the text says why."""


class Token(NamedTuple):
    """What authenticates the client to the broker."""

    text: str
    ends_at_s: float
    """epoch"""


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Asks an endpoint for tokens, by the client's id and secret."""

    url: str
    client_id: str
    secret: str
    scope: str | None
    now_s: Callable[[], float]

    def new(self) -> Token:
        """Return a new token; blocks until the endpoint answers, for 10 s at most.

        Raises:
            TokenError: it gives none.
        """
        form = {"grant_type": "client_credentials"}
        if self.scope is not None:
            form["scope"] = self.scope
        # Encoded for a header (RFC 6749, section 2.3.1).
        client_id, secret = map(urllib.parse.quote_plus, (self.client_id, self.secret))
        login = base64.b64encode(f"{client_id}:{secret}".encode())
        request = urllib.request.Request(  # noqa: S310 (the settings take http and https only)
            self.url,
            urllib.parse.urlencode(form).encode(),
            {"Authorization": f"Basic {login.decode()}", "Accept": "application/json"},
        )
        asked_at_s = self.now_s()
        try:
            with urllib.request.urlopen(request, timeout=_WITHIN_S) as answer:  # noqa: S310
                given = json.load(answer)
            return Token(str(given["access_token"]), asked_at_s + float(given["expires_in"]))
        except urllib.error.HTTPError as refused:
            said = refused.read(_SAID_BYTES).decode(errors="replace")
            raise TokenError(
                f"{self.url} (KAFKA_SASL_TOKEN_URL) answers {refused.code}: {said}: are "
                "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD the client's id and secret there?"
            ) from None
        except (OSError, http.client.HTTPException) as silent:
            raise TokenError(f"{self.url} (KAFKA_SASL_TOKEN_URL): {silent}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise TokenError(
                f"{self.url} (KAFKA_SASL_TOKEN_URL) answers no token that ends: {error!r}"
            ) from None
