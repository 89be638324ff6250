"""Where the archive is, for programs that also work without one."""

from runtime.archive.config import ArchiveConfig
from runtime.settings import SharedSettings, read_settings


class _Settings(SharedSettings):
    archive: ArchiveConfig = ArchiveConfig()


def read_archive() -> ArchiveConfig:
    """Return where the archive is, by the environment or by default.

    Raises:
        runtime.settings.SettingsError: settings are wrong.
    """
    return read_settings(_Settings).archive


def given_archive() -> ArchiveConfig | None:
    """Return where the archive is; None if no setting says so.

    Raises:
        runtime.settings.SettingsError: settings are wrong.
    """
    config = read_archive()
    return config if config.model_fields_set else None
