"""Where the archive is: its catalog, its files, and how to reach both."""

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from runtime.settings import SharedSettings, read_settings

CATALOG_FILE: Final = "catalog.db"
"""The SQLite catalog in a local warehouse."""
_IN_S3: Final = "s3://"
_FILES: Final = "runtime.archive.durable_files.DurableFileIO"


class ArchiveConfig(BaseModel):
    """The settings that begin with `ARCHIVE_`, of every program that reads or writes the tables."""

    model_config = ConfigDict(frozen=True)

    catalog: Literal["sqlite", "rest", "glue"] = Field(
        default="sqlite",
        description="catalog of the tables' files",
    )
    warehouse: str = Field(
        default="build/archive",
        description="folder of the tables' files, or `s3://bucket/folder`; for `rest`, its name"
        " in the catalog",
    )
    catalog_uri: str | None = Field(
        default=None,
        validate_default=True,
        description="for `rest`, its URL; for `sqlite`, the path of its file; none: "
        "`catalog.db` in a local warehouse",
    )
    namespace: str = Field(
        default="tickrec",
        pattern=r"^[a-z0-9_]{1,100}$",
        description="of the tables in the catalog; topics with another `KAFKA_PREFIX` need "
        "another one",
    )
    s3_endpoint: str | None = Field(
        default=None, pattern=r"^https?://", description="of an S3 service other than Amazon's"
    )
    s3_region: str | None = Field(
        default=None, description="of the bucket; none: S3 is queried for it"
    )

    @property
    def is_in_s3(self) -> bool:
        """Whether the files are in S3."""
        return self.warehouse.startswith(_IN_S3)

    @field_validator("warehouse")
    @classmethod
    def _check_warehouse(cls, warehouse: str) -> str:
        if not warehouse or ("://" in warehouse and not warehouse.startswith(_IN_S3)):
            raise ValueError("is neither a folder nor in S3: name a path, or s3://bucket/folder")
        return warehouse

    @field_validator("catalog_uri")
    @classmethod
    def _check_catalog_uri(cls, uri: str | None, info: ValidationInfo) -> str | None:
        catalog = info.data.get("catalog")
        if catalog == "rest" and not (uri or "").startswith(("http://", "https://")):
            raise ValueError(
                "is required by ARCHIVE_CATALOG=rest: name the catalog's http(s):// URL"
            )
        if catalog == "sqlite" and uri is not None and "://" in uri:
            raise ValueError("is no path of a file, as ARCHIVE_CATALOG=sqlite needs: name one")
        in_s3 = info.data.get("warehouse", "").startswith(_IN_S3)
        if catalog == "sqlite" and uri is None and in_s3:
            raise ValueError(
                "is required by ARCHIVE_CATALOG=sqlite with a warehouse in S3: name a file here"
            )
        if catalog == "glue" and uri is not None:
            raise ValueError("has no effect with ARCHIVE_CATALOG=glue: leave it out")
        return uri

    def catalog_properties(self) -> dict[str, Any]:
        """Return the properties by which pyiceberg opens the catalog."""
        properties: dict[str, Any] = {
            "type": self.catalog,
            "warehouse": self.warehouse,
            "py-io-impl": _FILES,
        }
        if self.catalog == "sqlite":
            properties |= {"type": "sql", "uri": f"sqlite:///{self._catalog_file()}"}
        elif self.catalog_uri is not None:
            properties["uri"] = self.catalog_uri
        if self.catalog != "rest" and not self.is_in_s3:
            properties["warehouse"] = f"file://{Path(self.warehouse).resolve()}"
        if self.s3_endpoint is not None:
            properties["s3.endpoint"] = self.s3_endpoint
        if self.s3_region is not None:
            properties["s3.region"] = self.s3_region
        return properties

    def _catalog_file(self) -> Path:
        path = Path(self.warehouse) / CATALOG_FILE if self.catalog_uri is None else self.catalog_uri
        return Path(path).resolve()


class _Settings(SharedSettings):
    archive: ArchiveConfig = ArchiveConfig()


def read_archive() -> ArchiveConfig:
    """Return where the archive is, by the environment or by default.

    Raises:
        runtime.settings.SettingsError: settings are wrong.
    """
    return read_settings(_Settings).archive


def archive_from_env() -> ArchiveConfig | None:
    """Return where the archive is; None if no setting says so.

    Raises:
        runtime.settings.SettingsError: settings are wrong.
    """
    config = read_archive()
    return config if config.model_fields_set else None
