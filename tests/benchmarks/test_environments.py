from pathlib import Path

import pytest

from benchmarks.harness import environments
from benchmarks.harness.environments import NoEnvironmentError, jars_of, made, pinned_version, run
from benchmarks.peers.engines import QUOTES_AT_LEAST, Engine, program

PEERS = environments.PEERS
LOCKS = sorted(PEERS.glob("*.lock"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setattr(environments, "_CACHE", folder)
    return folder


class Maker:
    def __init__(self) -> None:
        self.folders: list[Path] = []

    def __call__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "made").touch()
        self.folders.append(folder)


def test_an_environment_is_built_once_and_rebuilt_when_its_source_changed(tmp_path: Path) -> None:
    source, make = tmp_path / "engine.lock", Maker()
    source.write_text("engine==1")
    first = made("engine", [source], make)
    assert made("engine", [source], make) == first
    assert make.folders == [first]
    source.write_text("engine==2")
    assert made("engine", [source], make) != first
    assert len(make.folders) == 2


def test_an_unfinished_environment_is_rebuilt(tmp_path: Path) -> None:
    source, make = tmp_path / "engine.lock", Maker()
    source.write_text("engine==1")

    def breaks(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "half").touch()
        raise NoEnvironmentError("no network")

    with pytest.raises(NoEnvironmentError, match="no network"):
        made("engine", [source], breaks)
    folder = made("engine", [source], make)
    assert (folder / "made").exists()
    assert not (folder / "half").exists()


def test_an_engine_on_the_jvm_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoEnvironmentError, match="flink needs a JDK of 17 or newer: no java"):
        jars_of("flink")


def test_an_installers_output_is_in_the_error() -> None:
    with pytest.raises(NoEnvironmentError, match="bytewax cannot be installed here: no such wheel"):
        run(["sh", "-c", "echo no such wheel >&2; exit 1"], "bytewax")


@pytest.mark.parametrize("engine", [e for e in Engine if e is not Engine.PLAIN_FAUST])
def test_every_engine_is_pinned_and_has_a_program(engine: Engine) -> None:
    assert pinned_version(engine)[0].isdigit()
    assert (PEERS / f"{engine}.py").exists() or list((PEERS / engine).glob("*.java"))


def test_an_engine_that_nothing_pins_is_named() -> None:
    with pytest.raises(ValueError, match=r"spark.* names a version of spark"):
        pinned_version("spark")


def test_plain_faust_runs_in_our_own_environment_on_fifty_thousand_quotes_or_more() -> None:
    peer = program(Engine.PLAIN_FAUST)
    assert peer.argv[1:] == ("-m", "benchmarks.peers.plain_faust")
    assert (peer.quotes, peer.log) == (QUOTES_AT_LEAST[Engine.PLAIN_FAUST],) * 2
    assert str(peer).startswith("plain-faust 0.")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_file_has_hashes_and_no_address(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert text.count("==") <= text.count("--hash=sha256:")
