"""The wheel: what it holds, and that it works in an empty folder without the sources."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy of the sources: a build leaves folders beside them."""
    sources, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    for name in ("dino", "data_pipeline", "configs"):
        shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-c", BUILD, str(out)], cwd=sources, check=True, capture_output=True)
    (made,) = out.glob("*.whl")
    return made


def bare_environment() -> dict[str, str]:
    """Of a shell that knows nothing of the sources."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def environment_with(wheel: Path, folder: Path, *options: str) -> Path:
    """A virtual environment with the wheel installed; its folder of programs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *options, str(wheel)]
    subprocess.run(pip, check=True, capture_output=True, env=bare_environment())
    return folder / "bin"


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory) -> Path:
    """The installed programs, of an environment that sees the packages of this one but not its sources."""
    found = environment_with(wheel, tmp_path_factory.mktemp("installed") / "venv", "--no-deps", "--no-index")
    (packages,) = found.parent.glob("lib/python*/site-packages")
    # The .pth files there, of an editable installation among others, are not read.
    (packages / "parent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return found


def called(program: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(program), *arguments], cwd=folder, check=False, capture_output=True, text=True, env=bare_environment()
    )


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
