"""The experiments that come with the program, by name."""

from pathlib import Path

from ..errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[1]
# Of an installed wheel, and of a clone, where they lie beside the packages.
_FOLDERS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")


def experiments() -> dict[str, Path]:
    """File of every shipped experiment by its name, in the order of the names."""
    folder = next((folder for folder in _FOLDERS if (folder / "demo.yaml").is_file()), None)
    return {} if folder is None else {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_experiment(name: str | Path) -> Path:
    """The file of an experiment, given by the name of a shipped one or by its path.

    A bare word that is no file is a name. Raises ConfigError that lists the names when there is none of that name.
    """
    path = Path(name)
    if path.is_file() or path.suffix or len(path.parts) > 1:
        return path
    known = experiments()
    if str(name) not in known:
        raise ConfigError(f"there is no experiment {str(name)!r}; give a YAML file or one of {', '.join(known)}")
    return known[str(name)]
