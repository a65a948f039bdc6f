"""The forecaster: analyse observations, forecast at any points. The whole method in one place."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from data_pipeline.stream import read_window

from .checkpoint import load_model, load_run_config
from .config import AssimilationConfig
from .decode import LatentForecast, blocks, decode_points
from .dynamics import check_finite, integrate
from .errors import ObservationError
from .gridmap import GridMap
from .inference.filtering import Filter
from .inference.gaussian import cholesky
from .inference.rows import rows_of_chart
from .inference.window import SharedPropagators, Trajectory, assimilate_window
from .maps import EncodedMaps, encode_maps, is_maps
from .model import OceanModel
from .observations import Observations, datetime_of, day_of, days_since_epoch
from .output import as_dataset, target_points
from .training.dynamics_stage import forecast_unresolved

MEMBERS = 48
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Analysis:
    """What observations say of the ocean, as Gaussian latent states.

    time : end of the window, days since 1950-01-01
    mean : (chart, state) there; covariance : (chart, state, state)
    nodes, window : times (node,) of the window and one trajectory a chart, when points were analysed
    maps : the encoded frames, when maps were analysed
    """

    time: float
    mean: Tensor
    covariance: Tensor
    nodes: Array | None = None
    window: tuple[Trajectory | Filter, ...] | None = None
    maps: EncodedMaps | None = None


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
        latent = self.forecast_latent(analysis, days, spread)
        mean, deviation = decode_points(self.model, latent, points.longitude, points.latitude, spread)
        if analysis.maps is not None:
            for row, carried in enumerate(self.unresolved_maps(analysis, analysis.maps, days)):
                for block in blocks(len(points.longitude)):
                    # A point without a place is missing in `mean` already, and interpolation refuses NaN.
                    place = np.nan_to_num(points.longitude[block]), np.nan_to_num(points.latitude[block])
                    mean[row, block] += carried.at(*place)
        return as_dataset(self.model.spec, points, days, analysis.time, mean, deviation)

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
        return LatentForecast(codes, factor, torch.stack([variance for variance, _ in grown]), unresolved)

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

    def _analyse_points(self, dataset: xr.Dataset, end: float | None) -> Analysis:
        length = self.assimilation.window_days
        if end is None and dataset.sizes.get("obs", 0) and "time" in dataset:
            # A store is in time order, and may be long: its last time is that of its last row.
            last = slice(-1, None) if "day_offset" in dataset else slice(None)
            end = float(days_since_epoch(dataset["time"].isel(obs=last).values).max())
        if end is not None and "day_offset" in dataset:
            # The day index lets a window be read without touching the rest of a long store.
            start, stop = datetime_of(end - length), datetime_of(end) + np.timedelta64(1, "ms")
            dataset = read_window(dataset, start, stop)
        everything = Observations.from_dataset(dataset, self.model.spec.names)
        end = float(everything.time[-1]) if end is None else end
        return self.analyse_observations(everything.window(end - length, end), end, length)

    @torch.no_grad()
    def analyse_observations(self, observations: Observations, end: float, length: float) -> Analysis:
        """The states at `end` [days since 1950-01-01] from the observations of the `length` days before."""
        model, config = self.model, self.assimilation
        model.cover.check(observations.longitude, observations.latitude)
        count = max(2, int(np.ceil(length / config.node_days)) + 1) if length else 1
        nodes = np.linspace(end - length, end, count)
        relative = torch.as_tensor(nodes - nodes[0], dtype=model.code_variance.dtype, device=model.code_variance.device)
        context, amplitude = model.context(), model.amplitude()
        size, method = model.dynamics.code_size, model.spec.dynamics.method
        shared = SharedPropagators(model.dynamics.bind()) if model.dynamics.is_linear else None
        windows: list[Trajectory | Filter] = []
        for chart in range(len(amplitude)):
            rows = rows_of_chart(model, chart, observations, nodes, config.default_error)
            here = context[min(chart, len(context) - 1)]
            right = shared or model.dynamics.bind(here, amplitude[chart])
            common = (right, model.state_prior, rows, relative, size)
            windows.append(
                Filter(*common, model.process_noise, method, model.step_days)
                if config.method == "filter"
                else assimilate_window(*common, config.iterations, method, model.step_days)
            )
        mean = torch.stack([window.end.mean for window in windows])
        covariance = torch.stack([window.end.covariance for window in windows])
        return Analysis(end, mean, covariance, nodes, tuple(windows))

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
