"""A model and observations as commands are given them: by folder, from several stores, of an area."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..data.observations import Observations
from ..errors import EmptyDataError
from ..forecaster import Forecaster
from ..model.checkpoint import load_model, load_run_config
from ..model.laying import entered_as
from ..model.named import find_model
from ..space.boxes import points_in
from ..transfer import evidence
from .opening import is_store, opened
from .sea import box_of, laid_over


def loaded(model: str, overrides: Sequence[str] = (), device: str = "cpu") -> Forecaster:
    """The forecaster of a run folder or of a shipped model, with overridden settings."""
    run = find_model(model)
    settings = load_run_config(run, overrides).assimilation
    return Forecaster(*load_model(run, device), settings)


def prepared(
    forecaster: Forecaster, area: str | None, relocate: bool, adapt: bool | None, seed: int = 0
) -> Callable[[Observations], Forecaster]:
    """How a forecaster is made ready for some assimilated observations: as it is, laid over their sea, adapted.

    A shipped model lies over no sea: it is laid and, unless `adapt` is False, adapted.
    """
    anew = relocate or not forecaster.ocean.charts
    box = None if area is None else box_of(area)

    def prepare(seen: Observations) -> Forecaster:
        made = laid_over(forecaster, seen, seen.channels, box=box) if anew else forecaster
        wanted = not forecaster.ocean.charts if adapt is None else adapt
        return evidence.adapt(made, seen, seed=seed) if wanted else made

    return prepare


def merged_observations(names: Sequence[str], channels: tuple[str, ...], cache: Path | None = None) -> Observations:
    """Observations of stores and archives, or of product files, in time order, sources by their names.

    channels : the model's; sea level is taken by any of its names. Sources of one name are one source, whichever store
    they are in.
    """
    alone = [[name] for name in names] if all(is_store(name) for name in names) else [list(names)]
    parts = [Observations.from_dataset(*entered_as(opened(each, cache=cache), channels)) for each in alone]
    if len(parts) == 1:
        return parts[0]
    sources = [[part.source_of(int(i)) for i in range(int(part.source.max()) + 1)] for part in parts]
    known = list(dict.fromkeys(name for each in sources for name in each))
    numbers = [np.array([known.index(name) for name in each]) for each in sources]
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


def inside(observations: Observations, area: str | None) -> Observations:
    """The observations in an area, all without one; EmptyDataError where there is none."""
    if area is None:
        return observations
    here = observations.select(points_in(observations.longitude, observations.latitude, [box_of(area)]))
    if not len(here):
        raise EmptyDataError(f"none of the {len(observations)} observations lies in --area {area}; give another one")
    return here
