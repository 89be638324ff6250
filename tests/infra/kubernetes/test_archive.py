"""The archive in a cluster: what it may reach, its monitoring and stopping, and its readers."""

from typing import Any

import httpx
import pytest

from archive import service
from archive.service import State
from archive.settings import ArchiveSettings
from infra.local.process import LOOPBACK, free_port
from runtime.archive.config import archive_from_env
from tests.infra.kubernetes.conftest import WITH_AN_ARCHIVE, plain_variables, rendered

READS_S3 = {"api", "archive", "maintenance"}
_CREDENTIALS = "169.254.170.23/32"
"""Where EKS's agent serves a pod's role credentials."""


@pytest.fixture(scope="module", params=sorted(WITH_AN_ARCHIVE))
def archived(request: pytest.FixtureRequest) -> Any:
    return rendered(request.param)


def of_the_archive(overlay: Any, program: str) -> dict[str, str]:
    """Return a program's settings of the archive."""
    settings = plain_variables(overlay, program)
    return {name: settings[name] for name in settings if name.startswith(("ARCHIVE_", "AWS_"))}


def labels(overlay: Any, program: str) -> dict[str, str]:
    return dict(overlay.templates()[program]["metadata"]["labels"])


def is_selected(selector: Any, its: dict[str, str]) -> bool:
    expressions = selector.get("matchExpressions", [])
    assert {each["operator"] for each in expressions} <= {"In"}
    return selector.get("matchLabels", {}).items() <= its.items() and all(
        its.get(each["key"]) in each["values"] for each in expressions
    )


def allowed(overlay: Any, program: str, way: str) -> list[Any]:
    """Return the rules, of "ingress" or "egress", that hold for a program's pods."""
    policies = [each["spec"] for each in overlay.of_kind("NetworkPolicy").values()]
    its = labels(overlay, program)
    return [
        rule
        for policy in policies
        if is_selected(policy["podSelector"], its)
        for rule in policy.get(way, [])
    ]


def asked_ports(overlay: Any, program: str) -> set[int]:
    return {port["port"] for rule in allowed(overlay, program, "egress") for port in rule["ports"]}


def test_only_the_archive_and_the_api_reach_s3_and_glue(archived: Any) -> None:
    everyones = {53, 6379, 9092}

    for program in archived.pods():
        more = {80, 443} if program in READS_S3 else set()
        assert asked_ports(archived, program) == everyones | more


def test_without_tls_they_ask_for_nothing_but_their_credentials(archived: Any) -> None:
    for program in READS_S3:
        for rule in allowed(archived, program, "egress"):
            if {port["port"] for port in rule["ports"]} & {80}:
                assert rule["to"] == [{"ipBlock": {"cidr": _CREDENTIALS}}]
                assert rule["ports"] == [{"protocol": "TCP", "port": 80}]


def test_each_runs_as_its_own_account_and_nothing_else_does(archived: Any) -> None:
    accounts = {name: pod.get("serviceAccountName") for name, pod in archived.pods().items()}

    assert {name: one for name, one in accounts.items() if one} == {
        "archive": "archive",
        "maintenance": "archive",
        "api": "api",
    }
    assert archived.of_kind("ServiceAccount").keys() == {"archive", "api"}


def test_the_api_reads_the_archive_that_is_written(
    archived: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert archive_from_env() is None
    with monkeypatch.context() as its:
        for name, value in of_the_archive(archived, "api").items():
            its.setenv(name, value)
        read = archive_from_env()
    for name, value in of_the_archive(archived, "archive").items():
        monkeypatch.setenv(name, value)

    assert read is not None
    assert read == ArchiveSettings().archive
    assert read.catalog == "glue"
    assert read.is_in_s3


@pytest.mark.parametrize(
    ("waits_for", "fail"),
    [(None, set()), ("Glue", {"readinessProbe"})],
    ids=["all is well", "Glue is away"],
)
def test_while_glue_is_unreachable_it_is_not_ready_and_not_restarted(
    archived: Any, waits_for: str | None, fail: set[str]
) -> None:
    state, port = State(), free_port()
    state.has_begun, state.waits_for = True, waits_for
    service.serve(state, LOOPBACK, port)
    container = archived.pods()["archive"]["containers"][0]
    answers = {
        name: httpx.get(f"http://{LOOPBACK}:{port}{container[name]['httpGet']['path']}").status_code
        for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }

    assert set(answers.values()) <= {200, 503}
    assert {name for name, status in answers.items() if status == 503} == fail
