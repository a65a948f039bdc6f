"""A daily cycle: what is new updates the last state, and the result is the state of the next call."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import xarray as xr

from data_pipeline.system.folders import claimed, writing

from ..errors import EmptyDataError, NothingNewError, ObservationError
from ..forecaster import Forecaster
from ..inference.analysis import Analysis
from ..inference.maps import is_maps
from .state import load_cycle, save_cycle

BUSY = "process {writer} is updating this state; wait until it is done"


@contextmanager
def advancing(
    forecaster: Forecaster,
    run: Path | str,
    observations: xr.Dataset,
    moment: np.datetime64 | None,
    path: Path,
) -> Iterator[Analysis]:
    """The analysis at `moment`, by default at the last observation, from the state at `path`.

    It becomes the state when what is done with it inside has succeeded: an error leaves the state as it was.
    Where there is no state yet, a window is analysed from the population of the run. A second process that comes while
    one is at it is refused with `BusyError`. Raises `NothingNewError` where the period has no observation; see
    `Forecaster.update` and `load_cycle` for the other errors.
    """
    if is_maps(observations):
        raise ObservationError(
            "a cycle goes on from point observations; maps hold all that is to know: leave --cycle out"
        )
    device = forecaster.latent.device
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with claimed(path.with_name(f".{path.name}.lock"), BUSY):
        before = load_cycle(path, run, device)
        try:
            if before is None:
                analysis = forecaster.analyse(observations, moment)
            else:
                analysis = forecaster.update(before, observations, moment)
        except EmptyDataError as error:
            raise NothingNewError(f"the cycle has nothing to {'go on' if before else 'begin'} with: {error}") from error
        yield analysis
        with writing(path):
            save_cycle(analysis, path, run)


def advance(
    forecaster: Forecaster, run: Path | str, observations: xr.Dataset, moment: np.datetime64 | None, path: Path
) -> Analysis:
    """The analysis that is the state at `path` from now on; see `advancing`."""
    with advancing(forecaster, run, observations, moment, path) as analysis:
        return analysis
