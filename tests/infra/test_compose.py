"""docker-compose.yml, checked against Compose and the programs, without Docker.

With Docker, `make compose-check` tests the rest.
"""

import importlib.util
import json
import os
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from api.settings import ApiSettings
from archive.settings import ArchiveSettings
from producers.__main__ import app as producers
from producers.adapt.settings import AdaptSettings
from producers.settings import ProducerSettings
from runtime.settings import SharedSettings, flat_fields
from stream_processors.settings import Settings as WorkerSettings
from tests.commands import ROOT, run
from tests.compose import SERVICES, filled_in
from tests.docs.settings_page import OWN, PASSED_ON
from tests.infra import golden
from trainer.settings import TrainerSettings

HEALTHY = "healthy"
"""the script in each image that asks whether its program is"""
SETTINGS: dict[str, type[SharedSettings]] = {
    "topics": SharedSettings,
    "worker": WorkerSettings,
    "trainer": TrainerSettings,
    "api": ApiSettings,
    "archive": ArchiveSettings,
    "maintenance": ArchiveSettings,
    "producer": ProducerSettings,
    "adapt": AdaptSettings,
}
PROGRAMS = sorted(SETTINGS)


def environment(service: str) -> dict[str, str]:
    """Return the variables that a service has without any from outside."""
    given = SERVICES[service]["environment"]
    return {name: filled_in(str(value)) for name, value in given.items() if value is not None}


def test_each_service_is_as_in_the_golden_file() -> None:
    assert golden.FILE.read_text() == golden.resolved(), "run python -m tests.infra.golden"


@pytest.mark.parametrize("service", PROGRAMS)
def test_a_program_can_be_run_with_its_settings_of_which_each_can_be_given_from_outside(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = SERVICES[service]["command"][0]
    package = (importlib.util.find_spec(module) or pytest.fail(module)).submodule_search_locations
    assert package is None or importlib.util.find_spec(f"{module}.__main__")

    of_program = {name.upper() for name in flat_fields(SETTINGS[service])}
    here = SERVICES[service]["environment"].keys()
    own = {name for name in of_program if name.startswith(OWN)}
    assert environment(service).keys() <= of_program
    assert SERVICES[service]["env_file"] == str(PASSED_ON.relative_to(ROOT))
    passed_on = set(PASSED_ON.read_text().splitlines())
    assert of_program - here - own == of_program & passed_on - here

    for name, value in environment(service).items():
        monkeypatch.setenv(name, value)
    settings = SETTINGS[service]()
    assert settings.kafka.bootstrap_servers in environment("kafka")["KAFKA_ADVERTISED_LISTENERS"]
    assert settings.redis_url == "redis://redis:6379/0"


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is missing")
def test_compose_passes_on_what_is_set_outside_or_in_env_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("UNKNOWN_FIELDS=refuse\nKAFKA_PORT=29092\nSOMETHING_ELSE=1\n")
    outside = {"TRAIN_EVERY_SECONDS": "5", "KAFKA_BOOTSTRAP_SERVERS": "elsewhere:9092"}

    asked = ("docker-compose", f"--env-file={file}", "--profile=*", "config", "--format=json")
    done = run(*asked, only={"PATH": os.environ["PATH"], **outside})

    for service in PROGRAMS:
        given = json.loads(done.stdout)["services"][service]["environment"]
        assert given["TRAIN_EVERY_SECONDS"] == "5"
        assert given["UNKNOWN_FIELDS"] == "refuse"
        assert given["KAFKA_BOOTSTRAP_SERVERS"] == "kafka:19092"
        assert not given.keys() & {"KAFKA_PORT", "SOMETHING_ELSE", "EARLIEST_EVENT_DATE"}


def test_ports_agree_with_the_programs_defaults() -> None:
    ports = {
        "worker": WorkerSettings.model_fields["metrics_port"].default,
        "trainer": TrainerSettings.model_fields["metrics_port"].default,
        "api": ApiSettings.model_fields["api_port"].default,
        "archive": ArchiveSettings.model_fields["metrics_port"].default,
        "maintenance": ArchiveSettings.model_fields["metrics_port"].default,
        "adapt": AdaptSettings.model_fields["metrics_port"].default,
    }
    scraped = yaml.safe_load((ROOT / "infra/prometheus/prometheus.yml").read_text())
    asked = [job["dns_sd_configs"][0] for job in scraped["scrape_configs"]]

    for service, port in ports.items():
        # A Python process for each check would take four times the CPU.
        command, check, url = SERVICES[service]["healthcheck"]["test"]
        assert (command, check) == ("CMD", HEALTHY)
        assert url.startswith(f"http://127.0.0.1:{port}/")
        assert "METRICS_PORT" not in environment(service)
    assert {job["names"][0]: job["port"] for job in asked} == ports
    assert f"api:{ports['api']} " in environment("nginx")["NGINX_API_SERVERS"]


def test_adapt_takes_the_mapping_that_is_mounted_and_the_example_is_valid() -> None:
    (folder,) = SERVICES["adapt"]["volumes"]
    *command, mapping = SERVICES["adapt"]["command"]
    path = mapping.removeprefix("--mapping=")
    source, mounted, _ = filled_in(folder).split(":")
    assert Path(path).parent == Path(mounted)
    assert filled_in(folder, ADAPT_FOLDER="./shop").startswith("./shop:")
    here = ROOT / source / Path(path).name
    assert command[0] == "producers"
    done = CliRunner().invoke(producers, [*command[1:], f"--mapping={here}", "--dry-run"])
    assert done.exit_code == 0, done.output
