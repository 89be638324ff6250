"""The same tables with files in S3, and with Glue as their catalog: moto answers as AWS does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from archive.maintenance.cleaning import clean
from archive.maintenance.compaction import Rule, compact
from archive.settings import Times
from contracts.archive import QUOTES_TABLE
from infra.local.process import LOOPBACK
from runtime.archive.catalog import open_catalog
from runtime.archive.config import ArchiveConfig
from runtime.archive.positions import Position
from tests.archive.tables import TODAY_US, Tables

BUCKET = "archive"
REGION = "eu-central-1"


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    import boto3  # this and the next take a third of a second, and each process collects all tests
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(LOOPBACK, port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": url,
        }.items():
            environment.setenv(name, value)
        boto3.client("s3").create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        yield url
    server.stop()


@pytest.fixture(params=["sqlite", "glue"])
def config(request: pytest.FixtureRequest, aws: str, tmp_path: Path) -> ArchiveConfig:
    others: dict[str, Any] = {"catalog_uri": str(tmp_path / "catalog.db")}
    return ArchiveConfig(
        catalog=request.param,
        warehouse=f"s3://{BUCKET}/{request.param}",
        s3_endpoint=aws,
        s3_region=REGION,
        **(others if request.param == "sqlite" else {}),
    )


def quotes(n: int) -> list[dict[str, Any]]:
    return [{"instrument_id": i % 2, "ts": TODAY_US + i, "size": i} for i in range(n)]


def keys(folder: str) -> set[str]:
    import boto3

    listed = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=folder)
    return {item["Key"] for item in listed["Contents"] if item["Key"].endswith(".parquet")}


def test_tables_in_s3_are_written_compacted_and_cleaned(config: ArchiveConfig) -> None:
    tables = Tables(open_catalog(config), config)
    for _ in range(2):
        tables.commit(QUOTES_TABLE, quotes(30))
    orphans = tables.write_unreferenced(QUOTES_TABLE, quotes(2))
    assert len(keys(config.catalog)) == 4 + len(orphans)
    assert compact(tables.stored(QUOTES_TABLE), Rule(2**20, 60, is_forced=True), 0) == 4
    updated_s = tables.found(QUOTES_TABLE).metadata.last_updated_ms / 1e3
    clean(tables.stored(QUOTES_TABLE), Times(0, 0), updated_s + 99)
    assert len(keys(config.catalog)) == 2
    found = tables.found(QUOTES_TABLE).scan().to_arrow()
    assert sorted(found["size"].to_pylist()) == sorted([*range(30)] * 2)
    assert tables.positions(QUOTES_TABLE) == {0: Position("topic", 0, 60)}
