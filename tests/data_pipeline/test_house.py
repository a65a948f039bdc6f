"""The plan of the house: who may import whom, how long a module is, and what waits until it is needed."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "data_pipeline"
# A room imports those before it and itself.
ROOMS = (
    "errors",
    "system",
    "layout",
    "archive",
    "stores",
    "products",
    "simulators",
    "observing",
    "inspection",
    "figures",
    "commands",
)
LONGEST = 400


def module_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
# The package itself names what it offers and imports it when it is asked: nobody inside asks.
INSIDE = {name: path for name, path in MODULES.items() if name != "data_pipeline"}


def imported(path):
    """Names of all modules that a file imports, anywhere in it; of `from a import b` both a and a.b when b is one."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & set(MODULES)
            found |= submodules or {str(node.module)}
    return found


IMPORTED = {name: imported(path) for name, path in MODULES.items()}


def room(module):
    return module.split(".")[1]


def test_every_module_is_in_a_room():
    assert {room(module) for module in INSIDE} == set(ROOMS)


@pytest.mark.parametrize("module", INSIDE)
def test_no_import_upwards(module):
    own = ROOMS.index(room(module))
    below = {name for name in IMPORTED[module] if name.split(".")[0] == "data_pipeline"}
    assert "data_pipeline" not in below
    assert [name for name in sorted(below) if ROOMS.index(room(name)) > own] == []


def test_no_circle_of_imports():
    # A package that imports its modules is no circle when these import each other.
    graph = {name: {held for held in IMPORTED[name] if held in INSIDE and held != name} for name in INSIDE}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_short_and_knows_no_model(module):
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= LONGEST
    assert not {name.split(".")[0] for name in IMPORTED[module]} & {"dino", "torch"}


ALWAYS_LATE = {"matplotlib", "netCDF4", "dask", "distributed", "scipy", "cf_xarray", "rich"}


@pytest.mark.parametrize(
    ("program", "late"),
    [
        ("import data_pipeline", ALWAYS_LATE | {"numpy", "pandas", "xarray", "zarr", "pydantic"}),
        ("from data_pipeline.stores.writing import open_store", ALWAYS_LATE),
        ("import data_pipeline.stores.stream", ALWAYS_LATE),
        ("import data_pipeline.commands.app", ALWAYS_LATE | {"numpy", "pandas", "xarray", "zarr", "pydantic"}),
    ],
)
def test_libraries_wait_until_they_are_needed(program, late):
    script = f"{program}\nimport sys\nprint(*sorted({late} & set(sys.modules)))"
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert told.stdout.split() == []


def test_the_package_offers_what_it_names():
    import data_pipeline

    assert set(data_pipeline.__all__) == set(dir(data_pipeline))
    for name in data_pipeline.__all__:
        assert getattr(data_pipeline, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'no_such'"):
        _ = data_pipeline.no_such
