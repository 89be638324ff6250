"""A REST catalog whose requests have a time limit.

pyiceberg sets none: on a connection that is silently dropped, as by a firewall, it would wait
forever.
"""

import functools
from typing import Any, Final

from pyiceberg.catalog.rest import RestCatalog
from requests import Session

ANSWERS_WITHIN: Final = "tickrec.answers-within-s"
"""Property: how many seconds may pass without a byte from the catalog."""


class LimitedRestCatalog(RestCatalog):
    """pyiceberg's own, with `ANSWERS_WITHIN` for each request, those of the login included."""

    def _config_headers(self, session: Session) -> None:
        # It is the first thing that pyiceberg does with each session it makes.
        super()._config_headers(session)
        limited: Any = functools.partial(
            session.request, timeout=float(self.properties[ANSWERS_WITHIN])
        )
        session.request = limited  # type: ignore[method-assign]
