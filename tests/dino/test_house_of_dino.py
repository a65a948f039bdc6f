"""The plan of the house: who may import whom, how long a module is, who knows of decoders' kinds, what is packaged."""

import ast
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "dino"
# A room imports those of the lines above its own, and itself. Rooms of one line do not know each other.
ROOMS = (
    ("errors",),
    ("config",),
    ("numerics", "space", "dynamics"),
    ("data",),
    ("model",),
    ("inference",),
    ("training", "forecasts"),
    ("forecaster", "physics"),
    ("transfer", "many_physics"),
    ("evaluation",),
    ("service", "experiments"),
    ("plotting",),
    ("commands",),
    ("__main__",),
)
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
# Beyond the order: what is below and yet none of their business.
UNKNOWN = {
    "forecaster": {"training"},
    "transfer": {"training", "forecasts"},
    "service": {"training", "transfer", "evaluation"},
    "plotting": {"training", "transfer", "forecaster", "model", "inference"},
    "forecasts": {"training"},
}
LONGEST, LONGEST_FORECASTER = 400, 140


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
# The package itself names what it offers and imports it when it is asked: nobody inside asks.
INSIDE = [name for name in MODULES if name != "dino"]


def named(module: str, node: ast.ImportFrom) -> str:
    """The module that a `from` names, relative to the one it stands in."""
    if not node.level:
        return str(node.module)
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    above = package.split(".")[: len(package.split(".")) + 1 - node.level]
    return ".".join([*above, *([node.module] if node.module else [])])


def imported(module: str, nodes: Iterator[ast.AST]) -> set[str]:
    """Names of all modules that some statements import; of `from a import b` a.b where b is a module, else a."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            whole = named(module, node)
            parts = {alias.name: f"{whole}.{alias.name}" for alias in node.names}
            found |= {part if part in MODULES else whole for part in parts.values()}
    return found


TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
IMPORTED = {name: imported(name, ast.walk(tree)) for name, tree in TREES.items()}


def at_once(tree: ast.AST) -> Iterator[ast.AST]:
    """The statements that run when a module is imported, those for the checker of types left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from at_once(node)


def room(module: str) -> str:
    return module.split(".")[1]


def known(module: str) -> set[str]:
    """Modules of dino that a module imports, anywhere in it."""
    return {name for name in IMPORTED[module] if name.split(".")[0] == "dino"}


def test_every_module_is_in_a_room():
    assert {room(module) for module in INSIDE} == set(LEVEL)


def test_all_imports_are_seen():
    """The reader of imports itself: relative ones, from packages, inside functions."""
    assert "dino.model.latent" in IMPORTED["dino.model.segments"]
    assert "dino.model" in IMPORTED["dino.forecaster"]
    assert "dino.model.laying" in IMPORTED["dino.model.ocean"]
    assert "dino.plotting" in IMPORTED["dino.commands.train"]
    assert "dino.space.decoders.base" in IMPORTED["dino.space.decoders.siren"]
    assert "dino.experiments.train" in IMPORTED["dino.commands.common"]
    assert not imported("dino.model.ocean", at_once(TREES["dino.model.ocean"])) & {"dino.model.laying"}
    assert not imported("dino.commands.common", at_once(TREES["dino.commands.common"])) & {"dino.forecaster"}


@pytest.mark.parametrize("module", INSIDE)
def test_no_import_upwards_or_beside(module):
    own = LEVEL[room(module)]
    assert "dino" not in known(module)
    wrong = {name for name in known(module) if room(name) != room(module) and LEVEL[room(name)] >= own}
    assert wrong == set()


@pytest.mark.parametrize("module", [module for module in INSIDE if room(module) in UNKNOWN])
def test_rooms_do_not_know_what_is_none_of_their_business(module):
    assert {room(name) for name in known(module)} & UNKNOWN[room(module)] == set()


def test_no_circle_of_imports():
    """An import that waits in a function closes no circle."""
    graph = {}
    for name in INSIDE:
        held = imported(name, at_once(TREES[name]))
        graph[name] = {other for other in held if other in INSIDE and other != name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_short(module):
    lines = len(MODULES[module].read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST
    assert module != "dino.forecaster" or lines < LONGEST_FORECASTER


def test_whether_a_decoder_is_affine_is_asked_behind_one_door():
    asking = {name for name, path in MODULES.items() if "is_affine" in path.read_text(encoding="utf-8")}
    asking |= {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "type", "issubclass")
        if any(kind in ast.unparse(node) for kind in ("SirenDecoder", "FourierDecoder"))
    }
    assert asking
    assert {name for name in asking if not name.startswith("dino.space.")} <= {"dino.inference.encode"}


def test_data_pipeline_knows_no_dino():
    for path in (ROOT / "data_pipeline").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import dino" not in text, path
        assert "from dino" not in text, path


def test_all_packages_are_in_the_wheel():
    """The tree and `configs`, which is mapped into it; setuptools would leave out in silence what is not named."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {path.parent for name in ("dino", "data_pipeline") for path in (ROOT / name).rglob("*.py")}
    tree = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert all((folder / "__init__.py").is_file() for folder in folders)
    assert settings["package-dir"] == {"dino.configs": "configs"}
    assert len(set(settings["packages"])) == len(settings["packages"])
    assert set(settings["packages"]) == tree | {"dino.configs"}


def test_all_files_beside_the_code_are_in_the_wheel():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    data = settings["package-data"]
    named = {
        path
        for package, patterns in data.items()
        for pattern in patterns
        for path in ROOT.joinpath(settings["package-dir"].get(package, package.replace(".", "/"))).glob(pattern)
    }
    there = {
        path
        for name in ("dino", "data_pipeline", "configs")
        for path in (ROOT / name).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert named == there
    assert ROOT / "dino" / "space" / "land.npz" in named


def test_no_two_test_files_have_one_name():
    """pytest imports them by their names alone, and stops at a second one."""
    names = [path.name for path in Path(__file__).resolve().parents[1].rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)
