"""One configuration from a YAML file, dotted overrides and options of the command line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from data_pipeline.errors import ConfigError, MissingFileError, StoreError

Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Dates stay text: the one parser of moments reads them, and a 30th of February is no error of YAML."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in forms if tag != "tag:yaml.org,2002:timestamp"]
    for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_settings(
    model: type[Model],
    path: Path | None = None,
    overrides: Sequence[str] = (),
    given: Mapping[str, Any] | None = None,
    base: Mapping[str, Any] | None = None,
) -> Model:
    """The settings in `base`, then those in the YAML file at `path`, then those of `given` that are not None, then
    `overrides` ("a.b=value").

    Raises MissingFileError, or ConfigError naming the first key that is unknown or has a value that is not allowed.
    """
    settings = {**(base or {}), **(read_mapping(path) if path is not None else {})}
    settings |= {key: value for key, value in (given or {}).items() if value is not None}
    for override in overrides:
        _assign(settings, override)
    return validated(model, settings)


def validated(model: type[Model], settings: Any) -> Model:
    """`settings` as a `model`; ConfigError in one sentence when they are not."""
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or model.__name__
        came = f", came {first['input']!r}" if isinstance(first["input"], (str, int, float, bool)) else ""
        known = f"; known keys: {', '.join(model.model_fields)}" if first["type"] == "extra_forbidden" else ""
        why = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"setting {where}: {why[0].lower()}{why[1:]}{came}{known}") from error


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; MissingFileError or ConfigError when there is none."""
    if not path.is_file():
        raise MissingFileError(f"there is no configuration file {str(path)!r}; check the path")
    try:
        settings = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} is no YAML: {' '.join(str(error).split())}; correct it") from error
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise ConfigError(f"{path.name} holds a {type(settings).__name__} where a mapping of settings is wanted")
    return settings


def refuse_existing(out: Path, overwrite: bool, option: str = "--out") -> None:
    """Raise StoreError before the work is done rather than after it, when `out` exists and may not be replaced."""
    if out.exists() and not overwrite:
        raise StoreError(f"{str(out)!r} exists already; pass --overwrite to replace it or choose another {option}")


def _assign(settings: dict[str, Any], override: str) -> None:
    """Set one "a.b=value" in place; the value is read as YAML and a number in the key is a place in a list."""
    dotted, equals, text = override.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(f"override {override!r} is not of the form key=value or group.key=value; write it so")
    try:
        value = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"the value of override {override!r} is no YAML; put it in quotes") from error
    place: Any = settings
    for key, following in zip(keys, [*keys[1:], None], strict=True):
        if isinstance(place, list):
            if not key.isdigit() or int(key) >= len(place):
                raise ConfigError(f"override {override!r}: {key!r} is none of the {len(place)} places of a list")
            slot: Any = int(key)
        elif isinstance(place, dict):
            slot = key
            place.setdefault(key, {})
        else:
            raise ConfigError(f"override {override!r}: there is a single value above {key!r}, which has no parts")
        if following is None:
            place[slot] = value
        else:
            place = place[slot]
