"""What is imported when: each case in a process of its own."""

import subprocess
import sys

import pytest

import dino

HEAVY = ("torch", "xarray", "matplotlib", "dask", "netCDF4", "distributed", "sympy", "scipy", "pandas")
PROBE = """
import sys, time
{body}
print(time.process_time(), *[name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""
COMMAND = """
from {package}.commands.app import main
try:
    main({arguments!r})
except SystemExit as stop:
    assert not stop.code, stop.code
"""


def probed(body: str) -> tuple[float, set[str], str]:
    """Processor seconds, the heavy modules and what is printed of a process that runs `body`."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(body=body, heavy=HEAVY)], check=True, capture_output=True, text=True
    )
    seconds, *modules = done.stderr.split("\n")[-2].split()
    return float(seconds), set(modules), done.stdout


def command(package: str, *arguments: object) -> str:
    return COMMAND.format(package=package, arguments=[str(argument) for argument in arguments])


def test_importing_the_packages_imports_nothing_heavy():
    _, modules, printed = probed("import dino, data_pipeline; print(dino.__version__)")
    assert modules == set()
    assert printed.strip() == dino.__version__


@pytest.mark.parametrize(
    ("package", "commands"),
    [
        ("dino", ("train", "transfer", "relocate", "forecast", "evaluate", "models", "demo", "reproduce")),
        ("data_pipeline", ("ingest", "log", "simulate", "sample", "inspect", "validate")),
    ],
)
def test_help_lists_every_command_and_imports_none(package, commands):
    seconds, modules, printed = probed(command(package, "--help"))
    assert modules == set()
    assert seconds < 1.0
    lines = {line.strip("│ ").partition("  ")[0]: line for line in printed.splitlines()}
    for name in commands:
        assert len(lines[name].strip("│ ").split()) > 3, lines[name]


def test_public_names_are_what_they_were():
    assert dino.load == dino.Forecaster.load
    assert set(dino.__all__) - {"load", "__version__"} <= set(dir(dino))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dino.nothing  # pyright: ignore[reportAttributeAccessIssue]


def test_a_forecast_from_a_store_to_a_store_imports_what_it_needs(sea_run, sea_store, tmp_path):
    """xarray itself imports dask where it is installed."""
    arguments = ("--grid", "3,5,37,39,0.5", "--leads", "1", "--out", tmp_path / "next.zarr")
    _, modules, _ = probed(command("dino", "forecast", sea_run, sea_store, *arguments))
    assert modules & {"matplotlib", "netCDF4", "distributed", "sympy"} == set()


def test_an_unknown_command_is_refused_with_those_that_are_near(capsys):
    from dino.commands.app import main

    with pytest.raises(SystemExit) as stop:
        main(["trian"])
    assert stop.value.code == 2
    assert "train" in capsys.readouterr().err
