"""A wheel built from the sources, and programs installed from it where nothing else is known of them."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


def built_wheel(sources: Path, out: Path) -> Path:
    """Built in the empty folder `sources` from a copy: a build leaves folders beside what it reads."""
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, sources)
    for name in ("dino", "data_pipeline", "configs"):
        shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-c", BUILD, str(out)], cwd=sources, check=True, capture_output=True)
    (made,) = out.glob("*.whl")
    return made


def bare_environment(**more: str) -> dict[str, str]:
    """Of a shell that knows nothing of the sources, and what is given beside."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | more


def environment_with(wheel: Path, folder: Path, *options: str) -> Path:
    """A virtual environment with the wheel installed; its folder of programs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *options, str(wheel)]
    subprocess.run(pip, check=True, capture_output=True, env=bare_environment())
    return folder / "bin"


def programs_of(wheel: Path, folder: Path) -> Path:
    """The installed programs, of an environment that sees the packages of this one but not its sources."""
    found = environment_with(wheel, folder, "--no-deps", "--no-index")
    (packages,) = found.parent.glob("lib/python*/site-packages")
    # The .pth files there, of an editable installation among others, are not read.
    (packages / "parent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return found


def called(program: Path | str, *arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a program says and ends with, started in a folder."""
    return subprocess.run(
        [str(program), *arguments],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        env=bare_environment(**environment),
    )
