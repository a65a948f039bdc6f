"""A model and observations as commands are given them: by folder, from several stores, of an area."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_pipeline.stores.writing import open_store
from data_pipeline.system.progress import silent

from ..config import Box
from ..data.observations import Observations
from ..errors import ConfigError, EmptyDataError
from ..evaluation.withheld import Prepare
from ..forecaster import Forecaster
from ..model.checkpoint import load_model, load_run_config
from ..space.boxes import points_in


def loaded(model: str, overrides: Sequence[str] = (), device: str = "cpu") -> Forecaster:
    """The forecaster of a run folder, with overridden settings."""
    settings = load_run_config(model, overrides).assimilation
    return Forecaster(*load_model(model, device), settings)


def prepared(forecaster: Forecaster, relocate: bool, adapt: bool, seed: int = 0) -> Prepare:
    """How a forecaster is made ready for some assimilated observations: as it is, laid over their sea, adapted."""

    def prepare(seen: Observations) -> Forecaster:
        made = forecaster.over(seen) if relocate else forecaster
        if adapt:
            from ..transfer.evidence import fitted

            made = fitted(made, seen, silent, False, seed)
        return made

    return prepare


def merged_observations(paths: Sequence[Path], channels: tuple[str, ...]) -> Observations:
    """Observations of several stores in time order, sources by their names.

    Sources of one name are one source, whichever store they are in.
    """
    parts = [Observations.from_dataset(open_store(path), channels) for path in paths]
    if len(parts) == 1:
        return parts[0]
    names = [[part.source_of(int(i)) for i in range(int(part.source.max()) + 1)] for part in parts]
    known = list(dict.fromkeys(name for each in names for name in each))
    numbers = [np.array([known.index(name) for name in each]) for each in names]
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("time", "longitude", "latitude", "values", "error")
    }
    source = np.concatenate([number[part.source] for number, part in zip(numbers, parts, strict=True)])
    shared = None
    if any(part.correlated_error is not None for part in parts):
        shared = np.concatenate(
            [np.full_like(p.values, np.nan) if p.correlated_error is None else p.correlated_error for p in parts]
        )
    whole = Observations(
        **columns, source=source, channels=parts[0].channels, sources=tuple(known), correlated_error=shared
    )
    return whole.select(np.argsort(whole.time, kind="stable"))


def box_of(area: str) -> Box:
    """west,east,south,north [degrees]; across 180 degrees where west is greater than east."""
    try:
        west, east, south, north = (float(part) for part in area.split(","))
    except ValueError as error:
        raise ConfigError(f"--area {area} is not west,east,south,north in degrees") from error
    if not (-90 <= south < north <= 90 and west != east):
        raise ConfigError(f"--area {area} is empty; west, east and south < north within -90 and 90 are wanted")
    return west, east if east > west else east + 360.0, south, north


def inside(observations: Observations, area: str | None) -> Observations:
    """The observations in an area, all without one; EmptyDataError where there is none."""
    if area is None:
        return observations
    here = observations.select(points_in(observations.longitude, observations.latitude, [box_of(area)]))
    if not len(here):
        raise EmptyDataError(f"none of the {len(observations)} observations lies in --area {area}; give another one")
    return here
