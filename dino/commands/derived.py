"""Options of `forecast` and `map` for what is derived of a forecast: currents with error bars, sampled members."""

from typing import Annotated

import numpy as np
import typer
import xarray as xr

from ..forecaster import Forecaster
from ..inference.analysis import Analysis

Currents = Annotated[
    bool, typer.Option("--currents", help="Geostrophic currents and vorticity too, each with its standard deviation.")
]
Members = Annotated[
    int | None, typer.Option("--members", min=1, help="So many sampled members, coherent in space and time, too.")
]


def derived(
    made: xr.Dataset, forecaster: Forecaster, analysis: Analysis, days: np.ndarray, currents: bool, members: int | None,
    seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    """A forecast at `days` since 1950-01-01 with what was asked for beside mean and spread."""
    if currents:
        from ..forecasts.currents import with_currents

        made = with_currents(made, forecaster.latent, forecaster.ocean, analysis, days)
    if members is not None:
        from ..forecasts.members import with_members

        made = with_members(made, forecaster.latent, forecaster.ocean, analysis, days, members, seed)
    return made
