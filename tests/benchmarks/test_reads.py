"""Ours and the baseline answer the same on the same data, and results are reported in full."""

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest
from rich.console import Console

from benchmarks.reads import scene as scenes
from benchmarks.reads.answers import check_same
from benchmarks.reads.data import Size
from benchmarks.reads.scenario import Servers, both_servers, contest, endpoints
from benchmarks.reads.scene import ReadServer, Scene, set_up
from tests.benchmarks.reported import figures, shown

SIZE = Size(instruments=400, users=300)

needs_wrk = pytest.mark.skipif(
    shutil.which("wrk") is None, reason="there is no wrk: install it (Debian: wrk)"
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """What is compared here is answers, not speed: one core will do, and there is time."""
    folder, serving = tmp_path_factory.mktemp("reads"), Scene.serving
    available = sorted(os.sched_getaffinity(0))

    def patiently(scene: Scene, name: str, module: str) -> AbstractContextManager[ReadServer]:
        return serving(scene, name, "tests.api.patient" if module == "api" else module)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "server_and_load_cores", lambda: (available[0], available[-1]))
        patch.setattr(Scene, "serving", patiently)
        with set_up(folder, SIZE, Console(file=io.StringIO())) as scene:
            yield scene


@pytest.fixture(scope="module")
def servers(scene: Scene) -> Iterator[Servers]:
    with both_servers(scene) as servers:
        yield servers


@pytest.mark.slow
def test_both_answer_the_same_to_every_endpoint(servers: Servers) -> None:
    for situation in endpoints(SIZE):
        check_same(situation.paths(), *servers)


@pytest.mark.slow
@needs_wrk
def test_a_contest_reports_rates_latencies_and_costs(scene: Scene, servers: Servers) -> None:
    said: list[str] = []
    similar = endpoints(SIZE)[1:2]
    (found,) = contest(scene, servers, similar, 1, 1, lambda _, name, __: said.append(name))
    assert said == ["tickrec", "naive"]
    (line,) = figures(found)
    assert (line["name"], line["baseline"], line["bar"]) == ("reads: similar", "naive", 5.0)
    assert line["store"].startswith("Valkey")
    for answers in line["answers"].values():
        assert 0 < answers["p50_ms"] <= answers["p99_ms"] <= answers["max_ms"]
        assert answers["rss_mb"] > 10
    assert min(*line["records"]["ours"], *line["records"]["baseline"]) > 0
    assert line["cpu_s"]["ours"].keys() == {"server", "store", "load", "others"}
    assert line["cpu_s"]["ours"]["server"] > 0
    assert "400 instruments with 200 neighbors each, 300 users" in shown(found)
