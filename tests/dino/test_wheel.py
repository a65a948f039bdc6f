"""The wheel: what it holds, and that it works in an empty folder without the sources."""

import zipfile
from pathlib import Path

import pytest

from tests.wheels import ROOT, built_wheel, called, environment_with, programs_of


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return built_wheel(tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory) -> Path:
    return programs_of(wheel, tmp_path_factory.mktemp("installed") / "venv")


def test_the_wheel_holds_every_module_and_every_experiment(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    modules = {
        str(path.relative_to(ROOT)) for name in ("dino", "data_pipeline") for path in (ROOT / name).rglob("*.py")
    }
    assert modules <= held
    assert {f"dino/configs/{path.name}" for path in (ROOT / "configs").glob("*.yaml")} <= held
    assert {"dino/py.typed", "data_pipeline/py.typed"} <= held
    assert not [name for name in held if name.startswith(("tests", "benchmarks"))]


def test_the_installed_program_finds_its_experiments(programs, tmp_path):
    told = called(programs / "dino", "--version", folder=tmp_path).stdout
    assert told.startswith("dino ")
    assert "unknown" not in told
    refused = called(programs / "dino", "train", "nothing", folder=tmp_path)
    assert refused.returncode == 2
    assert "mediterranean" in refused.stderr
    refused = called(programs / "dino", "train", "mediterranean", folder=tmp_path)
    assert "no store" in refused.stderr
    assert "ingest" in called(programs / "dino-data", "--help", folder=tmp_path).stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_installed_demo_runs_in_an_empty_folder(programs, tmp_path):
    done = called(programs / "dino", "demo", "--quick", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "demo" / "scores.json").is_file()


@pytest.mark.slow
def test_the_wheel_installs_from_the_registry(wheel, tmp_path):
    programs = environment_with(wheel, tmp_path / "venv", "--constraint", str(ROOT / "constraints.txt"))
    done = called(programs / "dino", "demo", "--quick", folder=tmp_path)
    assert done.returncode == 0, done.stderr
