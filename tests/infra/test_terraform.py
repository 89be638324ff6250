"""Tests of infra/terraform without OpenTofu; `make terraform-check` does the rest."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import yaml
from redis.exceptions import NoPermissionError

from contracts.archive import BARS_TABLE
from runtime.redis.stores import connect

ROOT = Path(__file__).parents[2]
TERRAFORM = ROOT / "infra" / "terraform"
KUBERNETES = ROOT / "infra" / "kubernetes"


@pytest.fixture
def tickrec_url(cluster_url: str) -> Iterator[str]:
    """URL of a cluster for the user that redis.tf describes."""
    found = re.search(r"access_string = join\(.*?\[(.*?)\]\)", _read("redis.tf"), re.DOTALL)
    assert found is not None
    rules = re.findall(r'"([^"]+)"', found[1])
    with redis.Redis.from_url(cluster_url) as node:
        node.execute_command("ACL SETUSER", "tickrec", ">a-password", *rules)
        yield cluster_url.replace("redis://", "redis://tickrec:a-password@")
        node.execute_command("ACL DELUSER", "tickrec")


def test_the_user_of_redis_may_touch_the_namespace_and_nothing_else(tickrec_url: str) -> None:
    with connect(tickrec_url, "tests") as store:
        store.hset("live:meta:topics", "quotes", "2")
        assert store.hgetall("live:meta:topics") == {"quotes": "2"}
        store.eval("return redis.call('DEL', KEYS[1])", 1, "live:meta:topics")
        for refused in (lambda: store.hset("other:meta:topics", "quotes", "2"), store.flushall):
            with pytest.raises(NoPermissionError):
                refused()


def test_roles_are_given_to_service_accounts_that_are_in_the_manifests() -> None:
    given = set(re.findall(r'service_account = "(\w+)"', _read("archive.tf")))
    assert given == {"api", "archive"}
    files = [file.read_text() for file in (KUBERNETES / "components").rglob("*.yaml")]
    manifests = [each for file in files for each in yaml.safe_load_all(file)]
    accounts = [each["metadata"]["name"] for each in manifests if each["kind"] == "ServiceAccount"]
    assert given <= {*accounts}
    base = yaml.safe_load((KUBERNETES / "base/kustomization.yaml").read_text())
    namespaces = re.findall(r'namespace +=\s*"(\w+)"', _read("archive.tf"))
    assert set(namespaces) == {base["namespace"]}


def test_the_api_may_read_the_table_of_bars_and_no_other() -> None:
    policy = _block('resource "aws_iam_role_policy" "api"', _read("archive.tf"))
    paths = re.findall(r'[:/"](?:warehouse|\$\{local\.archive_\w+\})/([\w/*]+)', policy)
    assert paths == [f"{BARS_TABLE.name}/*", f"{BARS_TABLE.name}/*", BARS_TABLE.name]
    assert "glue:GetTables" not in policy


@pytest.mark.parametrize(
    "kept",
    [
        *("aws_msk_cluster", "aws_elasticache_replication_group", "aws_s3_bucket"),
        *("aws_glue_catalog_database", "aws_kms_key"),
    ],
)
def test_what_keeps_data_is_not_destroyed_by_a_slip(kept: str) -> None:
    every = "".join(file.read_text() for file in sorted(TERRAFORM.glob("*.tf")))
    blocks = [_block(found[0], every) for found in re.finditer(rf'resource "{kept}" "\w+"', every)]
    assert blocks
    for block in blocks:
        assert re.search(r"lifecycle \{\s*prevent_destroy = var\.protected\s*\}", block)


def _block(opening: str, text: str) -> str:
    start = text.index(opening)
    depth, end = 0, text.index("{", start)
    while True:
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        end += 1
        if not depth:
            return text[start:end]


def _read(name: str) -> str:
    return (TERRAFORM / name).read_text()
