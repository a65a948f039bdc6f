"""The forecaster: analyse observations, forecast at any points. The whole method in one place."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .config import AssimilationConfig
from .data.entering import entered, entered_places, moments_of
from .data.inputs import last_time, read_period, read_window_of
from .data.observations import SAME_MOMENT_DAYS, Observations, day_of, days_since_epoch
from .forecasts.along_track import along_track
from .forecasts.decode import decode_points
from .forecasts.horizon import check_horizon
from .forecasts.latent import LatentForecast, carried_residual, forecast_latent
from .forecasts.output import as_dataset, target_points, told_of
from .inference.analysis import Analysis, Assimilation
from .inference.hindcasts import hindcasts
from .inference.maps import EncodedMaps, encode_recent, is_maps
from .model import LatentModel, Ocean
from .model.blending import blocks
from .model.named import load_named

Array = NDArray[np.float64]
Moment = np.datetime64 | np.ndarray | str | None


class Forecaster:
    """A trained model laid over an ocean, ready to forecast; see `dino.load`."""

    def __init__(self, latent: LatentModel, ocean: Ocean, assimilation: AssimilationConfig | None = None) -> None:
        self.latent, self.ocean, self.assimilation = latent, ocean, assimilation or AssimilationConfig()

    @classmethod
    def load(cls, model: Path | str, device: str = "cpu") -> "Forecaster":
        """A run folder, or a shipped model by name, to be laid `over` a sea; `MissingFileError`, `CheckpointError`."""
        return cls(*load_named(model, device))

    def over(self, sea: Ocean | xr.Dataset | Observations, **settings: Any) -> "Forecaster":
        """The same model over another ocean, or over the sea of observations or maps; settings as of `Ocean.over`."""
        ocean = sea if isinstance(sea, Ocean) else Ocean.over(sea, self.ocean, **settings)
        return Forecaster(self.latent, ocean, self.assimilation)

    def analyse(self, observations: xr.Dataset, time: Moment = None, smooth: bool = False) -> Analysis:
        """The state of the ocean at `time`, by default that of the last observation; from maps, at the last up to then.

        observations : maps in field layout, or points in observation layout (dim `obs`). Maps that end with enough
        frames at the model's interval are encoded exactly and their last changes give the tendency; everything else is
        assimilated in a window of `assimilation.window_days`. smooth : also the trajectory within it, for forecasts at
        times before its end. Raises `DinoError`s for what cannot be used.
        """
        observations = entered(observations, self.ocean.names, self.ocean.units)
        end = None if time is None else day_of(time)
        if is_maps(observations) and (maps := encode_recent(self.latent, self.ocean, observations, end)) is not None:
            return self.analyse_maps(maps)
        length = self.assimilation.window_days
        end = last_time(observations, self.ocean.names) if end is None else end
        read = read_window_of(observations, self.ocean.names, end - length, end)
        return self.analyse_observations(read.observations, end, length, smooth).counting(read.missing, read.outside)

    def forecast(
        self, observations: xr.Dataset | Analysis, times: np.ndarray | list, at: xr.Dataset, *,
        spread: bool = True, beyond: bool = False,
    ) -> xr.Dataset:  # fmt: skip
        """Forecast every channel with its standard deviation.

        Parameters
        ----------
        observations : see `analyse`, or an `Analysis`
        times : (time,) datetime64; inside the window they give the smoothed analysis
        at : points (`longitude` and `latitude` along one dim), grid axes, or 2-D coordinates
        spread : False leaves standard deviations out; beyond : True allows any lead, see `forecasts.horizon`

        Returns
        -------
        CF Dataset with <channel> and <channel>_std over (time, point) or (time, latitude, longitude). Land and points
        outside the domain are NaN; `DomainError` when all points are outside.
        """
        days = days_since_epoch(moments_of(times))
        points = target_points(entered_places(at))
        self.ocean.cover.check(points.longitude, points.latitude)
        analysis = observations
        if not isinstance(analysis, Analysis):
            analysis = self.analyse(analysis)
            if days.min() < analysis.time - SAME_MOMENT_DAYS and analysis.maps is None:
                analysis = self.analyse(observations, smooth=True)  # type: ignore[arg-type]
        check_horizon(self.latent, days - analysis.observed_until, beyond)
        mean, deviation = self.predict(analysis, days, points.longitude, points.latitude, spread)
        return as_dataset(self.ocean.channels, points, days, analysis.time, mean, deviation, told_of(self.latent))

    def predict(
        self, analysis: Analysis, days: Array, longitude: Array, latitude: Array, spread: bool = True
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Mean and standard deviation (time, point, channel) at `days` since 1950-01-01, as `forecast` has them."""
        ahead = self.forecast_latent(analysis, days, spread)
        mean, deviation = decode_points(self.latent, self.ocean, ahead, longitude, latitude, spread)
        if analysis.maps is not None:
            carried = carried_residual(self.latent, self.ocean, analysis.maps, days - analysis.time)
            for row, field in enumerate(carried):
                for block in blocks(len(longitude)):
                    # A point without a place is missing in `mean` already, and interpolation refuses NaN.
                    place = np.nan_to_num(longitude[block]), np.nan_to_num(latitude[block])
                    mean[row, block] += field.at(*place)
        return mean, deviation

    def along_track(self, analysis: Analysis, time: Array, longitude: Array, latitude: Array) -> tuple[Array, Array]:
        """Mean and standard deviation (obs, channel) at points with times of their own; see `forecasts.along_track`."""
        return along_track(self.latent, self.ocean, analysis, time, longitude, latitude)

    def forecast_latent(self, analysis: Analysis, days: Array, spread: bool = True) -> LatentForecast:
        """Gaussian codes of all charts at `days` since 1950-01-01, at or after the start of the window."""
        return forecast_latent(self.latent, self.ocean, analysis, days, spread)

    def analyse_maps(self, maps: EncodedMaps) -> Analysis:
        """The state at the last of some encoded maps, its tendency from the changes before."""
        past, last = hindcasts(self.latent, self.ocean, maps), replace(maps, record=None)
        return Analysis(float(maps.times[-1]), *maps.state(self.latent), maps=last, hindcasts=past)

    def analyse_observations(self, seen: Observations, end: float, length: float, smooth: bool = False) -> Analysis:
        """The states at `end` [days since 1950-01-01] from the observations of the `length` days before."""
        return Assimilation(self.latent, self.ocean, self.assimilation).window(seen, end, length, smooth)

    def update(self, analysis: Analysis, observations: xr.Dataset, until: Moment = None) -> Analysis:
        """The state at `until`, by default that of the last observation, from an earlier analysis and newer points.

        The Kalman filter goes on from the analysis, with the model's process noise; no window is analysed again.
        `quality` counts what was left out: observations that the analysis took (known) and others that are older than
        it (late). Raises `DinoError`s for what cannot be used.
        """
        observations = entered(observations, self.ocean.names, self.ocean.units)
        end, low = None if until is None else day_of(until), analysis.time - self.assimilation.window_days
        high = last_time(observations, self.ocean.names) if end is None else end
        read = read_period(observations, self.ocean.names, low, max(high, analysis.time))
        here = Assimilation(self.latent, self.ocean, self.assimilation)
        return here.onwards(analysis, read.observations, end).counting(read.missing, read.outside)
