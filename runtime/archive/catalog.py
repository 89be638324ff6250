"""Opens the archive's catalog and its tables."""

import functools
import logging
from pathlib import Path
from typing import Any, Final

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    ForbiddenError,
    NoSuchTableError,
    OAuthError,
    RESTError,
    UnauthorizedError,
)
from pyiceberg.table import Table
from pyiceberg.utils.config import Config, merge_config
from requests import Session
from sqlalchemy.exc import OperationalError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random

from contracts.archive import ArchiveTable
from runtime.archive.config import ArchiveConfig

_NAME: Final = "archive"
_LOGIN: Final = f"PYICEBERG_CATALOG__{_NAME.upper()}__"
"""Prefix of pyiceberg's own settings of this catalog."""

_ANSWERS_WITHIN_S: Final = 30.0
"""A commit is two requests, so it ends before an archive would count as stalled."""

_ANSWERS_WITHIN: Final = "tickrec.answers-within-s"
"""Property: how many seconds may pass without a byte from a REST catalog."""

# For each loaded table, it logs which implementation reads the files.
logging.getLogger("pyiceberg.io").setLevel(logging.WARNING)

RACES: Final = 20
"""Concurrent commits that one may lose to."""
in_races: Final = Retrying(
    retry=retry_if_exception_type(CommitFailedException),
    stop=stop_after_attempt(RACES),
    wait=wait_random(0, 0.3),
    reraise=True,
)
"""Retries what lost a race, with the table reloaded."""


class ArchiveError(RuntimeError):
    """The archive is misconfigured; the text says what to do."""


class NotLetInError(ArchiveError):
    """The catalog refuses the login; the text is for operators, not for users."""


def open_catalog(config: ArchiveConfig, *, answers_within_s: float = _ANSWERS_WITHIN_S) -> Catalog:
    """Return the catalog; a missing SQLite file and its folder are created.

    Args:
        config: of the archive.
        answers_within_s: how long a REST catalog may be silent before a request fails.

    Raises:
        ArchiveError: a library that the catalog needs is not installed.
        NotLetInError: it refuses this login.
        Exception: as `is_passing` knows it, if the catalog does not answer.
    """
    properties: dict[str, Any] = config.catalog_properties()
    if config.catalog == "sqlite":
        Path(properties["uri"].removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    try:
        if config.catalog == "rest":
            return _open_rest(properties, answers_within_s)
        return load_catalog(_NAME, **properties)
    except ImportError as error:
        raise ArchiveError(
            f"ARCHIVE_CATALOG={config.catalog} needs a library that is not installed ({error}): "
            f"install pyiceberg[{config.catalog}]"
        ) from None
    except (UnauthorizedError, ForbiddenError, OAuthError) as error:
        raise NotLetInError(
            f"the catalog of ARCHIVE_CATALOG_URI rejects this program's login ({error}): log in by "
            f"{_LOGIN}TOKEN, or by {_LOGIN}CREDENTIAL (client:secret) and {_LOGIN}OAUTH2_SERVER_URI"
        ) from None


def _open_rest(properties: dict[str, Any], answers_within_s: float) -> Catalog:
    # pyiceberg's own settings, as `load_catalog` reads them: the login is there.
    login = Config().get_catalog_config(_NAME) or {}
    limit = {_ANSWERS_WITHIN: str(answers_within_s)}
    merged: dict[str, Any] = merge_config(login, properties | limit)
    return _LimitedRestCatalog(_NAME, **merged)


class _LimitedRestCatalog(RestCatalog):
    """pyiceberg's own, with a limit for each request, those of the login included.

    pyiceberg sets none: on a connection that is silently dropped, as by a firewall, it would wait
    forever.
    """

    def _config_headers(self, session: Session) -> None:
        # It is the first thing that pyiceberg does with each session it makes.
        super()._config_headers(session)
        limited: Any = functools.partial(
            session.request, timeout=float(self.properties[_ANSWERS_WITHIN])
        )
        session.request = limited  # type: ignore[method-assign]


def load(catalog: Catalog, config: ArchiveConfig, table: ArchiveTable) -> Table | None:
    """Return the current state of a table; None if there is none yet."""
    try:
        return catalog.load_table((config.namespace, table.name))
    except NoSuchTableError:
        return None


def is_passing(error: BaseException) -> bool:
    """Whether an error may be gone on a retry.

    The catalog or S3 is unreachable, a disk is full, a file cannot be written. requests' errors are
    OSErrors.
    """
    if isinstance(error, OSError | OperationalError | RESTError):
        return True
    # boto3 is there only where Glue is used.
    return any(kind.__module__.partition(".")[0] == "botocore" for kind in type(error).__mro__)
