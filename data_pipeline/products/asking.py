"""What is asked of `ingest`: arguments of another kind are refused at its door, each by name."""

import os
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from data_pipeline.errors import ConfigError


def require_paths(paths: Any) -> list[str | os.PathLike[str]]:
    """Paths as a list; ConfigError for what is none, such as bytes or a number."""
    if isinstance(paths, (str, os.PathLike)):
        return [paths]
    listed: list[Any] = list(paths) if isinstance(paths, Iterable) and not isinstance(paths, bytes) else [paths]
    for path in listed:
        if not isinstance(path, (str, os.PathLike)) or isinstance(os.fspath(path), bytes):
            raise ConfigError(f"{path!r} is no path; give text or a pathlib.Path, or a list of them")
    return listed


def require_texts(name: str, given: Any) -> tuple[str, ...]:
    """Names as a tuple; ConfigError for one text, whose letters would be taken for names, and for what is no text."""
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, (Sequence, np.ndarray)):
        raise ConfigError(f"{name} is {given!r} where a list of names is wanted, e.g. {name}=['adt']")
    for one in given:
        require_text(name, one)
    return tuple(map(str, given))


def require_text(name: str, given: Any) -> str:
    """Text; ConfigError for anything else."""
    if not isinstance(given, str):
        raise ConfigError(f"{name} is or holds {given!r} where text is wanted")
    return given


def require_table(name: str, given: Any) -> dict[str, str]:
    """Texts by channel; ConfigError for what is no mapping of text to text."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigError(f"{name} is {given!r} where a mapping is wanted, e.g. {name}={{'adt': ...}}")
    return {require_text(name, key): require_text(f"{name}[{key!r}]", value) for key, value in given.items()}


def require_depth(given: Any) -> float | None:
    """Metres; ConfigError for what is no finite number."""
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, Real) or not np.isfinite(float(given)):
        raise ConfigError(f"depth is {given!r} where metres are wanted, e.g. depth=5.0")
    return float(given)
