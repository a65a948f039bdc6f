"""The forecaster: analyse observations, forecast at any points. The whole method in one place."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from data_pipeline.stores.stream import read_window

from .config import AssimilationConfig
from .data.observations import Observations, datetime_of, day_of, days_since_epoch
from .dynamics import check_finite, integrate
from .errors import ObservationError
from .forecasts.decode import LatentForecast, blocks, decode_points
from .forecasts.output import as_dataset, target_points
from .inference.analysis import Analysis, analyse_window, continue_analysis
from .inference.maps import EncodedMaps, encode_maps, is_maps
from .inference.quality import missing
from .model.checkpoint import load_model, load_run_config
from .model.latent import FROM_MAPS, FROM_POINTS, OceanModel
from .numerics.gaussian import cholesky
from .space.gridmap import GridMap
from .training.dynamics_stage import forecast_unresolved

MEMBERS = 48
Array = NDArray[np.float64]


class Forecaster:
    """A trained model ready to forecast; see `dino.load`."""

    def __init__(self, model: OceanModel, assimilation: AssimilationConfig | None = None) -> None:
        self.model = model
        self.assimilation = assimilation or AssimilationConfig()

    @classmethod
    def load(cls, folder: Path | str, device: str = "cpu") -> "Forecaster":
        """The forecaster of a run folder; raises `MissingFileError` or `CheckpointError`."""
        model = load_model(folder, device)
        return cls(model, load_run_config(folder).assimilation if (Path(folder) / "config.yaml").exists() else None)

    def analyse(self, observations: xr.Dataset, time: np.datetime64 | np.ndarray | str | None = None) -> Analysis:
        """The state of the ocean at `time`, by default that of the last observation; from maps, at the last up to then.

        observations : maps in field layout, or points in observation layout (dim `obs`). Maps that end with enough
        frames at the model's interval are encoded exactly and their last changes give the tendency; everything else is
        assimilated in a window of `assimilation.window_days`. Raises `DinoError`s for what cannot be used.
        """
        end = None if time is None else day_of(time)
        if is_maps(observations):
            maps = self._recent_maps(observations, end)
            if maps is not None:
                return self.analyse_maps(encode_maps(self.model, maps))
        return self._analyse_points(observations, end)

    def forecast(
        self,
        observations: xr.Dataset | Analysis,
        times: np.ndarray | list,
        at: xr.Dataset,
        *,
        spread: bool = True,
    ) -> xr.Dataset:
        """Forecast every channel with its standard deviation.

        Parameters
        ----------
        observations : see `analyse`, or an `Analysis`
        times : (time,) datetime64; inside the window they give the smoothed analysis
        at : points (`longitude` and `latitude` along one dim) or grid axes, or 2-D coordinates
        spread : False leaves the standard deviations out (faster)

        Returns
        -------
        CF Dataset with <channel> and <channel>_std over (time, point) or (time, latitude, longitude). Land and points
        outside the domain are NaN; `DomainError` when all points are outside.
        """
        analysis = observations if isinstance(observations, Analysis) else self.analyse(observations)
        days = days_since_epoch(np.atleast_1d(np.asarray(times, "datetime64[ns]")))
        points = target_points(at)
        self.model.cover.check(points.longitude, points.latitude)
        mean, deviation = self.predict(analysis, days, points.longitude, points.latitude, spread)
        return as_dataset(self.model.spec, points, days, analysis.time, mean, deviation)

    def predict(
        self, analysis: Analysis, days: Array, longitude: Array, latitude: Array, spread: bool = True
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Mean and standard deviation (time, point, channel) at `days` since 1950-01-01, as `forecast` has them."""
        latent = self.forecast_latent(analysis, days, spread)
        mean, deviation = decode_points(self.model, latent, longitude, latitude, spread)
        if analysis.maps is not None:
            for row, carried in enumerate(self.unresolved_maps(analysis, analysis.maps, days)):
                for block in blocks(len(longitude)):
                    # A point without a place is missing in `mean` already, and interpolation refuses NaN.
                    place = np.nan_to_num(longitude[block]), np.nan_to_num(latitude[block])
                    mean[row, block] += carried.at(*place)
        return mean, deviation

    @torch.no_grad()
    def forecast_latent(self, analysis: Analysis, days: Array, spread: bool = True) -> LatentForecast:
        """Gaussian codes of all charts at `days` since 1950-01-01, at or after the start of the window."""
        model = self.model
        leads = days - analysis.time
        earliest = analysis.nodes[0] - analysis.time if analysis.nodes is not None else 0.0
        if (leads < earliest - 1e-9).any():
            raise ObservationError(
                f"{datetime_of(days.min())!s:.16} lies before the analysis, which begins "
                f"{datetime_of(analysis.time + earliest)!s:.16}; ask for later times or analyse a longer window"
            )
        members = MEMBERS if spread else 0
        ahead = torch.as_tensor(np.maximum(leads, 0.0), dtype=analysis.mean.dtype, device=analysis.mean.device)
        root = cholesky(analysis.covariance)
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(members, 1, analysis.mean.shape[-1], generator=generator).to(root)
        # Pairs of opposite signs keep the ensemble mean at the analysis exactly.
        noise[members // 2 :] = -noise[: members // 2]
        # The same in all charts, so that a chart's forecast does not depend on which others there are.
        noise = noise.expand(-1, len(analysis.mean), -1)
        start = torch.cat([analysis.mean[None], analysis.mean + torch.einsum("cij,mcj->mci", root, noise)])
        right = model.dynamics.bind(model.context(), model.amplitude())
        states = integrate(right, start, ahead, model.spec.dynamics.method, model.step_days)
        codes = model.dynamics.codes(check_finite(states, ahead))
        # The ensemble mean is the better forecast: what cannot be known from the analysis averages out of it.
        centre = codes[:, 1:].mean(1) if members else codes[:, 0]
        factor = ((codes[:, 1:] - centre[:, None]) / max(members, 1) ** 0.5).permute(0, 2, 3, 1)
        codes = centre.clone()
        grown = [model.model_error(max(float(lead), 0.0)) for lead in leads]
        unresolved = torch.stack([variance for _, variance in grown])
        if analysis.maps is None:
            # Nothing observed the part outside the basis: its whole variance is in the error.
            unresolved = model.unresolved_variance.expand_as(unresolved)
        for index in np.flatnonzero(leads < 0):
            codes[index], factor[index] = _inside_window(analysis, float(days[index]), noise, model.dynamics.code_size)
        start = FROM_POINTS if analysis.maps is None else FROM_MAPS
        calibration = torch.stack([model.calibration(float(lead), start) for lead in leads])
        return LatentForecast(codes, factor, torch.stack([variance for variance, _ in grown]), unresolved, calibration)

    def analyse_maps(self, maps: EncodedMaps) -> Analysis:
        """The state at the last of some encoded maps, its tendency from the changes before."""
        history = maps.codes[-(self.model.lags + 1) :].movedim(0, 1)
        with torch.no_grad():
            mean = self.model.initialiser(history)
        code = self.model.dynamics.code_size
        covariance = mean.new_zeros(len(mean), mean.shape[-1], mean.shape[-1])
        covariance[:, :code, :code] = maps.covariance[-1]
        covariance += 1e-8 * torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device)
        return Analysis(float(maps.times[-1]), mean, covariance, maps=maps)

    def _recent_maps(self, observations: xr.Dataset, end: float | None) -> xr.Dataset | None:
        """The last lags + 1 frames when they are spaced as in training, else None; frames may come in any order."""
        times = days_since_epoch(observations["time"].values)
        order = np.argsort(times, kind="stable")
        times = times[order]
        last = len(times) if end is None else int(np.searchsorted(times, end + 1e-9))
        wanted = self.model.lags + 1
        recent = slice(max(last - wanted, 0), last)
        steps = np.diff(times[recent])
        if last < wanted or not np.allclose(steps, self.model.spec.interval_days, atol=1e-3):
            return None
        return observations.isel(time=order[recent])

    def update(
        self, analysis: Analysis, observations: xr.Dataset, until: np.datetime64 | np.ndarray | str | None = None
    ) -> Analysis:
        """The state at `until`, by default that of the last observation, from an earlier analysis and newer points.

        The Kalman filter goes on from the analysis, with the model's process noise, over the observations after it;
        no window is analysed again. `quality` of the result counts what was left out: observations that the analysis
        took (known) and others that are older than it (late). Raises `DinoError`s for what cannot be used.
        """
        end = None if until is None else day_of(until)
        low = analysis.time - self.assimilation.window_days
        high = end if end is not None else self._last_time(observations)
        seen, missed, beyond = self._read(observations, low, max(high, analysis.time))
        made = continue_analysis(self.model, self.assimilation, analysis, seen, end)
        return replace(made, quality=replace(made.quality, missing=missed, outside=made.quality.outside + beyond))

    def _analyse_points(self, dataset: xr.Dataset, end: float | None) -> Analysis:
        length = self.assimilation.window_days
        end = self._last_time(dataset) if end is None else end
        everything, missed, beyond = self._read(dataset, end - length, end)
        inside = everything.window(end - length, end)
        beyond += len(everything) - len(inside)
        made = self.analyse_observations(inside, end, length)
        return replace(made, quality=replace(made.quality, missing=missed, outside=made.quality.outside + beyond))

    def _last_time(self, dataset: xr.Dataset) -> float:
        """The time of the last observation [days since 1950-01-01]."""
        if "day_offset" in dataset and dataset.sizes["obs"]:
            # A store is in time order, and may be long: its last time is that of its last row.
            return float(days_since_epoch(dataset["time"].isel(obs=slice(-1, None)).values)[0])
        return float(Observations.from_dataset(dataset, self.model.spec.names).time[-1])

    def _read(self, dataset: xr.Dataset, start: float, end: float) -> tuple[Observations, int, int]:
        """Observations that hold those of a period, how many had no value, time or place, and how many went unread."""
        unread = 0
        if "day_offset" in dataset:
            # The day index lets a window be read without touching the rest of a long store.
            whole = dataset.sizes["obs"]
            dataset = read_window(dataset, datetime_of(start), datetime_of(end) + np.timedelta64(1, "ms"))
            unread = whole - dataset.sizes["obs"]
        observations = Observations.from_dataset(dataset, self.model.spec.names)
        return observations, missing(dataset, observations), unread

    def analyse_observations(self, observations: Observations, end: float, length: float) -> Analysis:
        """The states at `end` [days since 1950-01-01] from the observations of the `length` days before."""
        return analyse_window(self.model, self.assimilation, observations, end, length)

    @torch.no_grad()
    def unresolved_maps(self, analysis: Analysis, maps: EncodedMaps, days: Array) -> list[GridMap]:
        """What the basis leaves out, carried forward cell by cell: one map for each of `days`, in channels' units."""
        history = maps.remainder[-(self.model.lags + 1) :].flatten(1)[None]
        leads = torch.as_tensor(days - analysis.time, dtype=history.dtype)
        carried = forecast_unresolved(self.model, history, leads)[0].double().cpu().numpy()
        carried = carried.reshape(len(days), -1, *maps.shape) * self.model.spec.spread[:, None, None]
        return [GridMap(maps.axes[1], maps.axes[0], field) for field in carried]


def _inside_window(analysis: Analysis, day: float, noise: Tensor, code_size: int) -> tuple[Tensor, Tensor]:
    """Codes (chart, code) and covariance factor (chart, code, member) at a moment of the window."""
    assert analysis.nodes is not None
    assert analysis.window is not None
    position = float(np.interp(day, analysis.nodes, np.arange(len(analysis.nodes), dtype=float)))
    low = min(int(position), len(analysis.nodes) - 2)
    fraction = position - low
    codes, factors = [], []
    for chart, window in enumerate(analysis.window):
        mean = torch.lerp(window.mean[low], window.mean[low + 1], fraction)
        nearest = window.covariance[low + (fraction > 0.5)]
        codes.append(mean[:code_size])
        members = noise.shape[0]
        factors.append((cholesky(nearest) @ noise[:, chart].T)[:code_size] / max(members, 1) ** 0.5)
    return torch.stack(codes), torch.stack(factors)
