"""Scores of a forecaster against baselines on the same starts, leads and cells."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data_pipeline.system.progress import Progress

from ..config import EvaluationConfig
from ..data.observations import Observations, datetime_of, day_of, days_since_epoch
from ..errors import EmptyDataError, SchemaError
from ..forecaster import Analysis, Forecaster
from ..inference.maps import encode_maps
from . import baselines
from .ensembles import References
from .linear_inverse import LinearInverseModel
from .optimal_interpolation import OptimalInterpolation
from .report import Row, score_rows
from .scores import area_weights, common_mask, score_forecasts
from .spread import Honesty, add_honesty, judge

Array = NDArray[np.float64]
Interpolations = Mapping[str, Callable[[Observations, float], OptimalInterpolation]]

# Of this interpolation the map at the start is shown held still, too.
PERSISTED = "optimal_interpolation"


@dataclass(frozen=True)
class ScoredMaps:
    """What the scores were made of, so that other methods can be scored on the same.

    starts : (start,) days since 1950-01-01; truth, forecasts of every method : (start, lead, channel, point), truth NaN
    where it is not scored; at_start, analyses of some methods : the same without the lead, at the start itself; mean :
    (channel, point) the climate that anomalies are from; weights : (point,)
    """

    starts: Array
    truth: Array
    forecasts: Mapping[str, Array]
    at_start: Array
    analyses: Mapping[str, Array]
    mean: Array
    weights: Array


@dataclass(frozen=True)
class Evaluation:
    """Rows for a report, what is known of the spread, and the last forecast for the figures (lead, channel, y, x).

    calibration : of the first channel by lead; honesty : of every method that gives a distribution
    """

    rows: list[Row]
    calibration: dict[str, list[float | None]]
    honesty: dict[str, Honesty]
    starts: int
    truth: Array
    forecast: Array
    spread: Array
    leads: Array
    maps: ScoredMaps


@dataclass(frozen=True)
class Truth:
    """Maps to score against: values (time, channel, point) on all cells, and which cells are always valid."""

    times: Array
    values: Array
    valid: NDArray[np.bool_]
    weights: Array
    grid: xr.Dataset
    shape: tuple[int, int]

    @classmethod
    def of(cls, dataset: xr.Dataset, channels: tuple[str, ...]) -> "Truth":
        """Read a field dataset without trajectories; raises `SchemaError` when it lacks a channel."""
        missing = [c for c in channels if c not in dataset]
        if missing:
            held = ", ".join(map(str, dataset.data_vars)) or "nothing"
            raise SchemaError(f"the store holds {held}, the model was trained on {', '.join(missing)}; give its store")
        space = [d for d in dataset[channels[0]].dims if d != "time"]
        maps = np.stack([dataset[c].transpose("time", *space).values.astype(np.float64) for c in channels], axis=1)
        values = maps.reshape(*maps.shape[:2], -1)
        valid = np.asarray(np.isfinite(values).all((0, 1)))
        if not valid.any():
            raise EmptyDataError("no cell of the store is valid at all times; there is nothing to score against")
        latitude = xr.broadcast(dataset["latitude"], dataset["longitude"])[0].transpose(*space).values.ravel()
        grid = xr.Dataset(coords={"latitude": dataset["latitude"], "longitude": dataset["longitude"]})
        shape = (dataset.sizes[space[0]], dataset.sizes[space[1]])
        return cls(days_since_epoch(dataset["time"].values), values, valid, area_weights(latitude), grid, shape)

    def starts(self, config: EvaluationConfig, lags: int, training_end: float | None) -> list[int]:
        """Indices of maps that start a forecast: enough history before, a scored map after."""
        first, last = self.scored_period(config, training_end)
        interval = float(np.median(np.diff(self.times)))
        earliest = first - max(interval, min(config.leads_days))
        chosen = [
            i
            for i in range(max(lags, 4), len(self.times))
            if self.times[i] >= earliest - 1e-6 and self.times[i] + min(config.leads_days) <= last + 1e-6
        ]
        if not chosen:
            raise EmptyDataError(
                f"no forecast can be scored between {datetime_of(first)!s:.10} and {datetime_of(last)!s:.10}; the "
                f"store has {len(self.times)} maps, {max(lags, 4)} are needed before a start: set evaluation.start"
            )
        return chosen[:: config.stride]

    def scored_period(self, config: EvaluationConfig, training_end: float | None) -> tuple[float, float]:
        """First and last day scored: configured, or everything after the training period."""
        after = training_end + 1e-3 if training_end is not None and training_end < self.times[-1] else self.times[0]
        first = day_of(config.start) if config.start else after
        return first, min(day_of(config.end), self.times[-1]) if config.end else float(self.times[-1])

    def targets(self, starts: list[int], leads: Array, first: float, last: float) -> Array:
        """(start, lead, channel, point) truth, NaN beyond the scored period and between maps."""
        out = np.full((len(starts), len(leads), *self.values.shape[1:]), np.nan)
        for row, start in enumerate(starts):
            for column, lead in enumerate(leads):
                moment = self.times[start] + lead
                index = int(np.argmin(np.abs(self.times - moment)))
                if abs(self.times[index] - moment) < 1e-3 and first - 1e-3 <= moment <= last + 1e-3:
                    out[row, column] = self.values[index]
        return out


def evaluate_maps(
    forecaster: Forecaster, dataset: xr.Dataset, config: EvaluationConfig, training: xr.Dataset | None, report: Progress
) -> Evaluation:
    """Forecasts from complete maps against persistence, half-trend, training mean and a linear inverse model.

    dataset : the maps to forecast from and score against; training : the maps the baselines may learn from
    """
    model = forecaster.latent
    truth = Truth.of(dataset, forecaster.ocean.names)
    training_end = None if training is None else float(days_since_epoch(training["time"].values[-1:])[0])
    starts = truth.starts(config, model.lags, training_end)
    leads = np.asarray(config.leads_days, np.float64)
    encoded = encode_maps(model, forecaster.ocean, dataset)

    def analyse(start: int) -> Analysis:
        return forecaster.analyse_maps(encoded.frames(slice(start - model.lags, start + 1)))

    return _score(forecaster, truth, starts, leads, config, training, training_end, analyse, {}, report)


def evaluate_observations(
    forecaster: Forecaster,
    dataset: xr.Dataset,
    observations: xr.Dataset,
    config: EvaluationConfig,
    training: xr.Dataset | None,
    interpolations: Interpolations | None,
    report: Progress,
) -> Evaluation:
    """Forecasts from sparse observations, scored on complete maps.

    Persistence is the analysis of the same observations by the same model, held still. `interpolations`, by the names
    that reports give them, estimate the fields of a single channel at later times from the same observations; the one
    called `optimal_interpolation` is shown held still, too.
    """
    truth = Truth.of(dataset, forecaster.ocean.names)
    first, _ = truth.scored_period(config, None)
    everything = Observations.from_dataset(observations, forecaster.ocean.names)
    starts = [i for i in truth.starts(config, 0, None) if truth.times[i] - everything.time[0] >= 1.0]
    if not starts:
        raise EmptyDataError(
            f"no forecast can start from these observations: {everything.span()}, and none begins a day before a "
            "scored map; set evaluation.start or give the observations of that period"
        )
    leads = np.asarray(config.leads_days, np.float64)
    window = forecaster.assimilation.window_days
    interpolated: dict[str, Array] = {}
    if interpolations is not None and len(forecaster.ocean.names) == 1:
        seen = {start: everything.window(truth.times[start] - window, truth.times[start]) for start in starts}
        interpolated = {name: _interpolated(make, seen, truth, leads) for name, make in interpolations.items()}

    def analyse(start: int) -> Analysis:
        return forecaster.analyse(observations, datetime_of(truth.times[start]))

    return _score(forecaster, truth, starts, leads, config, training, first, analyse, interpolated, report)


def _interpolated(
    make: Callable[[Observations, float], OptimalInterpolation],
    seen: dict[int, Observations],
    truth: Truth,
    leads: Array,
) -> Array:
    """Estimates (start, 1 + lead, channel, point), from the start itself on."""
    mesh = xr.broadcast(truth.grid["latitude"], truth.grid["longitude"])
    latitude, longitude = (part.values.ravel() for part in mesh)
    maps = [
        make(window, truth.times[start]).maps(truth.times[start] + np.append(0.0, leads), longitude, latitude)
        for start, window in seen.items()
    ]
    return np.stack(maps)[:, :, None]


def _score(
    forecaster: Forecaster,
    truth: Truth,
    starts: list[int],
    leads: Array,
    config: EvaluationConfig,
    training: xr.Dataset | None,
    training_end: float | None,
    analyse: Callable[[int], Analysis],
    interpolated: Mapping[str, Array],
    report: Progress,
) -> Evaluation:
    names = forecaster.ocean.names
    shape = (len(starts), len(leads), *truth.values.shape[1:])
    made, spread = np.full(shape, np.nan), np.full(shape, np.nan)
    sparse = False
    held: dict[str, list[Array]] = {}
    references, linear = _climate(truth, names, training, leads)
    mean = references.mean
    for row, start in enumerate(starts):
        analysis = analyse(start)
        sparse, now = analysis.maps is None, truth.times[start]
        moments = datetime_of(np.concatenate([[now], now + leads]) if sparse else now + leads)
        forecast = forecaster.forecast(analysis, moments, truth.grid)
        for column, name in enumerate(names):
            values = forecast[name].values.reshape(len(moments), -1)
            deviation = forecast[f"{name}_std"].values.reshape(len(moments), -1)
            made[row, :, column], spread[row, :, column] = values[-len(leads) :], deviation[-len(leads) :]
        past = slice(max(0, start - 9), start + 1)
        history, times = truth.values[past], truth.times[past]
        if sparse:
            now_map = np.stack([forecast[name].values[0].ravel() for name in names])
            _append(held, "persistence", np.repeat(now_map[None], len(leads), 0))
        else:
            _append(held, "persistence", baselines.persistence(history, times, leads))
            _append(held, "half_trend", baselines.half_trend(history, times, leads))
            if linear is not None:
                _append(held, "lim", linear.forecast(history, leads))
        _append(held, "mean", baselines.training_mean(mean, leads))
        report(row + 1, len(starts))
    first, last = truth.scored_period(config, training_end)
    targets = truth.targets(starts, leads, first, last)
    targets[..., ~truth.valid] = np.nan
    forecasts = {"dino": made, **{name: np.stack(maps) for name, maps in held.items()}}
    forecasts = _with_interpolations(forecasts, interpolated)
    scores = score_forecasts(targets, forecasts, mean, truth.weights, without_area_mean=config.remove_mean)
    rows = score_rows(scores, names, [c.units for c in forecaster.ocean.channels], list(leads))
    mask = common_mask(targets, forecasts) & np.isfinite(mean)
    persisted = forecasts["persistence"][:, 0]
    honesty = judge(targets, made, spread, persisted, references, truth.weights, mask)
    add_honesty(rows, honesty, names, leads)
    analyses = {"dino": persisted} if sparse else {}
    analyses |= {name: maps[:, 0] for name, maps in interpolated.items()}
    scored = ScoredMaps(truth.times[starts], targets, forecasts, truth.values[starts], analyses, mean, truth.weights)
    complete = [i for i in range(len(starts)) if np.isfinite(targets[i]).any(-1).all()] or [0]
    shown = complete[-1]
    picture = (len(leads), len(names), *truth.shape)
    return Evaluation(
        rows, _calibration(honesty["dino"]), honesty, len(starts),
        targets[shown].reshape(picture), made[shown].reshape(picture), spread[shown].reshape(picture), leads,
        scored,
    )  # fmt: skip


def _with_interpolations(forecasts: dict[str, Array], interpolated: Mapping[str, Array]) -> dict[str, Array]:
    """The forecasts with those of interpolations before the mean, which closes every table."""
    added = {name: maps[:, 1:] for name, maps in interpolated.items()}
    if PERSISTED in interpolated:
        still = interpolated[PERSISTED]
        added[f"{PERSISTED}_persistence"] = np.repeat(still[:, :1], still.shape[1] - 1, axis=1)
    mean = forecasts.pop("mean")
    return forecasts | added | {"mean": mean}


def _climate(
    truth: Truth, names: tuple[str, ...], training: xr.Dataset | None, leads: Array
) -> tuple[References, LinearInverseModel | None]:
    """The climate and past changes of the training maps, and a linear inverse model fitted to them.

    Without training maps the climate is the mean of the scored ones, which says nothing of its spread.
    """
    if training is None:
        average = truth.values.mean(axis=(0, 2), where=np.isfinite(truth.values), keepdims=True)[0]
        mean = np.broadcast_to(average, truth.values.shape[1:]).copy()
        return References(mean, np.full_like(mean, np.nan), np.full((len(leads), 2, *mean.shape), np.nan)), None
    runs = [training]
    if "trajectory" in training.dims:
        runs = [training.isel(trajectory=i) for i in range(training.sizes["trajectory"])]
    parts = [Truth.of(run, names) for run in runs]
    values = np.concatenate([part.values for part in parts])
    # Runs are set apart in time, so that no lag reaches from one into the next.
    length = np.ptp(parts[0].times) + 1000.0
    times = np.concatenate([part.times + index * length for index, part in enumerate(parts)])
    if values.shape[1:] != truth.values.shape[1:]:
        raise EmptyDataError(
            "the training store has another grid than the store to score; baselines need the same cells"
        )
    linear = LinearInverseModel.fit(values, times, truth.weights, lag_days=float(np.median(np.diff(parts[0].times))))
    return References.of(values, times, leads), linear


def _calibration(honesty: Honesty) -> dict[str, list[float | None]]:
    """Spread-skill ratio, CRPS and coverage of the first channel by lead, None where nothing was scored."""
    by_lead = [honesty.row(lead, 0) for lead in range(len(honesty.crps))]
    return {name: [row[name] for row in by_lead] for name in by_lead[0]}


def _append(held: dict[str, list[Array]], name: str, maps: Array) -> None:
    held.setdefault(name, []).append(maps)
