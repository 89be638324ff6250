"""The archive in a cluster: what it may reach, its monitoring and stopping, and its readers."""

from typing import Any

import httpx
import pytest

from archive import service
from archive.service import STALLED_AFTER_S, State
from archive.settings import ArchiveSettings
from infra.local.process import LOOPBACK, free_port
from runtime.archive.config import archive_from_env
from tests.infra.kubernetes.conftest import WITH_AN_ARCHIVE, plain_variables, rendered
from tests.infra.test_compose import SETTINGS

_LIBRARIES_MIB = 256
_COMPACTION_MIB = 512
"""Memory for a sorted buffer with its copies, and the libraries."""
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


def mebibytes(quantity: str) -> int:
    factor = {"Mi": 1, "Gi": 1024}
    return int(quantity[:-2]) * factor[quantity[-2:]]


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


def test_the_archive_accepts_requests_for_metrics_only(archived: Any) -> None:
    (rule,) = allowed(archived, "archive", "ingress")

    assert rule["ports"] == [{"port": "metrics"}]


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


@pytest.mark.parametrize("name", ["topics", "worker", "trainer", "api"])
def test_where_the_archive_is_changes_nothing_for_others(
    archived: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = SETTINGS[name]()
    settings = of_the_archive(archived, name)
    assert settings
    for key, value in settings.items():
        monkeypatch.setenv(key, value)

    assert SETTINGS[name]() == without


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


def test_its_grace_period_covers_its_own_commit_timeout(archived: Any) -> None:
    assert archived.pods()["archive"]["terminationGracePeriodSeconds"] >= STALLED_AFTER_S


def test_its_memory_holds_a_full_buffer_four_times(archived: Any) -> None:
    resources = archived.pods()["archive"]["containers"][0]["resources"]
    default = ArchiveSettings.model_fields["archive_buffer_mb"].default
    variables = plain_variables(archived, "archive")
    buffer = int(variables.get("ARCHIVE_BUFFER_MB", default))

    assert mebibytes(resources["requests"]["memory"]) >= 4 * buffer
    assert mebibytes(resources["limits"]["memory"]) >= 4 * buffer + _LIBRARIES_MIB


def test_a_single_pod_holds_up_no_nodes_drain(archived: Any) -> None:
    assert archived.objects["Deployment", "archive"]["spec"]["replicas"] == 1
    for budget in archived.of_kind("PodDisruptionBudget").values():
        assert not is_selected(budget["spec"]["selector"], labels(archived, "archive"))


def test_maintenance_is_a_separate_job_that_runs_one_at_a_time(archived: Any) -> None:
    job = archived.objects["CronJob", "maintenance"]["spec"]
    (container,) = archived.pods()["maintenance"]["containers"]

    assert container["args"] == ["archive", "maintain", "--once"]
    assert job["concurrencyPolicy"] == "Forbid"
    assert job["jobTemplate"]["spec"]["backoffLimit"] == 0, "the next round is the next try"
    assert mebibytes(container["resources"]["requests"]["memory"]) >= _COMPACTION_MIB
    assert of_the_archive(archived, "maintenance") == of_the_archive(archived, "archive")
