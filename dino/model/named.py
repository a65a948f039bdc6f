"""Models that come with the program, by name: folders of weights, description, settings and card."""

from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from ..config import AssimilationConfig
from ..errors import CheckpointError, MissingFileError
from .checkpoint import load_model, load_run_config
from .latent import LatentModel
from .ocean import Ocean

SHIPPED = Path(__file__).resolve().parents[1] / "shipped"
CARD = "CARD.md"


class Card(BaseModel):
    """The head of a model's card.

    area : where it may be laid; skill : one line, with the command that measures it; saw : what it was trained on
    licence : of the weights; credit : what a forecast passes on, empty where nothing is asked for
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    channel: str
    area: str
    saw: str
    skill: str
    licence: str
    credit: str = ""


@cache
def shipped_models() -> dict[str, Path]:
    """Folder of every shipped model by its name, in the order of the names."""
    found = sorted(SHIPPED.glob("*/model.json")) if SHIPPED.is_dir() else []
    return {path.parent.name: path.parent for path in found}


def find_model(name: str | Path) -> Path:
    """The folder of a model, given by the name of a shipped one or by its path.

    A folder that holds a run is that run, whatever its name; any other bare word that names a shipped model is that
    model. Raises MissingFileError that lists the names for a bare word that is neither a folder nor a name. Other
    paths are left to whoever reads the run.
    """
    path = Path(name)
    if (path / "model.json").is_file():
        return path
    known = shipped_models()
    if str(name) in known:
        return known[str(name)]
    if len(path.parts) > 1 or path.is_absolute() or path.exists():
        return path
    raise MissingFileError(
        f"{str(name)!r} is no run folder here and no shipped model; give the path of a run made by `dino train`, or "
        f"one of {', '.join(known) or 'no names: none is installed'}"
    )


def load_named(name: str | Path, device: str = "cpu") -> tuple[LatentModel, Ocean, AssimilationConfig | None]:
    """What a forecaster is made of, from a run folder or by the name of a shipped model; see `find_model`.

    A shipped model lies over no sea. Raises `MissingFileError` or `CheckpointError`.
    """
    folder = find_model(name)
    latent, ocean = load_model(folder, device)
    settings = load_run_config(folder).assimilation if (folder / "config.yaml").exists() else None
    return latent, ocean, settings


def card_of(folder: Path) -> Card:
    """The card of a shipped model; CheckpointError when it is damaged."""
    text = (folder / CARD).read_text(encoding="utf-8")
    try:
        _, head, _ = text.split("---\n", 2)
        return Card.model_validate(yaml.safe_load(head))
    except (ValueError, yaml.YAMLError, ValidationError) as error:
        raise CheckpointError(f"{folder / CARD} has no readable head; install the package again") from error
