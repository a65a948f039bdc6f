"""Training of a run, from stores to a model on disk: the whole recipe on one screen."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from data_pipeline.stores import open_store

from ..checkpoint import load_run_config, save_config, save_model
from ..config import Config, StoreConfig
from ..errors import ConfigError, EmptyDataError, SchemaError
from ..gridmap import GridMap
from ..model import ChannelSpec, ModelSpec, OceanModel
from ..observations import day_of
from .calibration import measure_model_error, state_population
from .dynamics_stage import Codes, DynamicsStage
from .field_stage import FieldStage, encode_series, learn_code_statistics, series_metric
from .loop import Loop, Report
from .series import Maps, Series, choose_domain, read_maps, series_of_chart, series_of_tiles, translated

UNRESOLVED_POOL = 256


@dataclass(frozen=True)
class Split:
    """A store's series, and the part of them that training may see."""

    series: Series
    training_frames: slice
    training_series: torch.Tensor | None = None
    validation_series: torch.Tensor | None = None

    @property
    def training(self) -> Series:
        """What is trained on."""
        return (self.series if self.training_series is None else self.series.subset(self.training_series)).frames(
            self.training_frames
        )


def train(config: Config, folder: Path, report: Report, resume: bool = False) -> OceanModel:
    """Train on the stores of `config` and leave a run in `folder`.

    Stages: decoder (variable projection), code statistics, dynamics (multiple shooting), model error. The same seed
    gives the same run, interrupted or not. Raises `DinoError`s for stores, channels and periods that do not fit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if resume:
        _refuse_another(config, folder)
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    splits, model = prepare(config)
    model.to(config.device)
    save_config(config, folder)
    loop = Loop(folder, resume)
    loop.restore(model, generator)

    training = [split.training.to(config.device) for split in splits]
    target = splits[0]
    if not loop.done("field"):
        held = _held_out(target, history=0).to(config.device)
        loop.run(FieldStage(model, training, held, config.field, generator), report)
        learn_code_statistics(model, training, config.field)
        loop.checkpoint(model, generator)

    data = [_codes(model, split.series.to(config.device)) for split in splits]
    seen = [_training_codes(codes, split) for codes, split in zip(data, splits, strict=True)]
    held = _held_out_codes(data[0], target, history=model.lags)
    if not loop.done("dynamics"):
        _set_rates(model, seen)
        loop.run(DynamicsStage(model, seen, held, config.dynamics, generator), report, config.dynamics.patience)
        model.state_covariance.copy_(state_population(model, seen))
        measure_model_error(model, held)
        loop.checkpoint(model, generator)
    save_model(model, folder)
    return model.eval()


def prepare(config: Config) -> tuple[list[Split], OceanModel]:
    """Read the stores, normalise and cut them, and build an untrained model for the first one."""
    target = config.data.stores[0]
    dataset = open_fields(target)
    start, end = (None if t is None else day_of(t) for t in (config.data.train_start, config.data.train_end))
    maps = read_maps(dataset, config.data.channels, start, end)
    if len(maps.times) < 2:
        raise EmptyDataError("the training period holds a single map; dynamics need more, widen data.train_start/end")
    interval = float(np.median(np.diff(maps.times)))
    splits, model_parts = [], None
    for store in config.data.stores:
        own = store is target
        current = maps if own else read_maps(open_fields(store), store.channels or config.data.channels, None, None)
        held = (slice(None), None, None)
        if own:
            aside = _held_trajectories(current, config)
            current = translated(current, config.data.translations, aside, config.seed)
            held = _validation_split(current, aside, config, interval)
        background = current.grid_map(held[0], store.climatology)
        if own:
            spread = _spread(current, background, held[0])
        series, cover = _cut(current, store, config, background, spread, held[0])
        frames, *trajectories = held
        splits.append(
            Split(
                series, frames, *(_in_every_chart(which, len(current.values), series.count) for which in trajectories)
            )
        )
        if own:
            model_parts = (background, cover, spread)
    assert model_parts is not None
    _refuse_short(splits, config)
    background, cover, spread = model_parts
    spec = ModelSpec(
        channels=[_channel(dataset, name, s) for name, s in zip(config.data.channels, spread, strict=True)],
        decoder=config.decoder,
        dynamics=config.dynamics,
        charts=list(cover.charts),
        amplitude=[float(a) for a in cover.amplitude],
        tiled=cover.tiled,
        interval_days=interval,
        noise_variance=config.field.noise_std**2,
        data_digest=hashlib.sha256(repr([open_store(s.path).attrs for s in config.data.stores]).encode()).hexdigest(),
    )
    return splits, OceanModel(spec, background)


def _refuse_another(config: Config, folder: Path) -> None:
    """Raise ConfigError when a run to be resumed was begun with other sizes, stages or seed."""
    if (folder / "config.yaml").is_file():
        begun = load_run_config(folder)
        for name in ("seed", "domain", "decoder", "field", "dynamics"):
            if getattr(begun, name) != getattr(config, name):
                raise ConfigError(
                    f"{folder} was begun with another {name} than it is to be resumed with; "
                    "resume with its own config.yaml or train anew in another folder"
                )


def _refuse_short(splits: list[Split], config: Config) -> None:
    """Raise EmptyDataError when a store's training maps hold no history together with a map to forecast."""
    wanted = (config.dynamics.lags if config.dynamics.order > 1 else 0) + 2
    for split, store in zip(splits, config.data.stores, strict=True):
        frames = len(split.training.times)
        if frames < wanted:
            raise EmptyDataError(
                f"{store.path} has {frames} maps to train on where dynamics.lags={config.dynamics.lags} wants at least "
                f"{wanted}; lengthen the training period or lower dynamics.lags"
            )


def _in_every_chart(trajectories: torch.Tensor | None, count: int, series: int) -> torch.Tensor | None:
    """Numbers of the series, `count` to a chart, that belong to some of the trajectories."""
    if trajectories is None:
        return None
    return (torch.arange(0, series, count)[:, None] + trajectories).flatten()


def open_fields(store: StoreConfig) -> xr.Dataset:
    """Open a field store; `SchemaError` when it holds observations."""
    dataset = open_store(store.path)
    if dataset.attrs.get("dino_store") != "fields":
        raise SchemaError(f"{store.path} holds observations; training wants a field store, `dino transfer` takes these")
    return dataset


def _cut(maps: Maps, store: StoreConfig, config: Config, background: GridMap, spread: np.ndarray, training: slice):
    if config.domain.kind == "tiles":
        return series_of_tiles(maps, store, config.domain, background, spread, training)
    return series_of_chart(maps, choose_domain(maps, config.domain), background, spread)


def _spread(maps: Maps, background: GridMap, training: slice) -> np.ndarray:
    anomaly = maps.values[:, training] - background.values
    spread = np.sqrt(np.nanmean(np.square(anomaly, dtype=np.float64), axis=(0, 1, 3, 4)))
    if not (spread > 0).all():
        raise EmptyDataError("a channel of the training store does not vary at all; there is nothing to learn from it")
    return spread


def _held_trajectories(maps: Maps, config: Config) -> int:
    """Trajectories held out for validation: a share of eight or more, else none."""
    originals = len(maps.values)
    if originals < 8 or not config.data.validation_trajectories:
        return 0
    return max(1, round(originals * config.data.validation_trajectories))


def _validation_split(maps: Maps, held_trajectories: int, config: Config, interval: float):
    """Hold out the last trajectories when there are many, else the last days of the training period."""
    trajectories, length = maps.values.shape[:2]
    if held_trajectories:
        order = torch.arange(trajectories)
        return slice(None), order[: trajectories - held_trajectories], order[trajectories - held_trajectories :]
    held = round(config.data.validation_days / interval)
    if held < 1 or length - held < 2:
        raise EmptyDataError(
            f"{length} maps leave nothing to validate on after {config.data.validation_days:g} days are held out; "
            "lengthen the training period or shorten data.validation_days"
        )
    return slice(0, length - held), None, None


def _held_out(split: Split, history: int) -> Series:
    if split.validation_series is not None:
        return split.series.subset(split.validation_series)
    first = int(split.training_frames.stop)
    return split.series.frames(slice(max(0, first - 1 - history) if history else first, None))


def _held_out_codes(codes: Codes, split: Split, history: int) -> Codes:
    if split.validation_series is not None:
        return codes.subset(split.validation_series.to(codes.codes.device))
    return codes.frames(slice(max(0, int(split.training_frames.stop) - 1 - history), None))


def _training_codes(codes: Codes, split: Split) -> Codes:
    if split.training_series is not None:
        return codes.subset(split.training_series.to(codes.codes.device))
    return codes.frames(split.training_frames)


@torch.no_grad()
def _codes(model: OceanModel, series: Series) -> Codes:
    codes, _ = encode_series(model, series, model.code_prior)
    cells = torch.linspace(0, series.coordinates.shape[0] - 1, UNRESOLVED_POOL, device=codes.device).long().unique()
    basis = model.decoder.basis(series.coordinates[cells])
    remainder = (series.values[:, :, cells] - basis.decode(codes)) * (series.weights[:, None, cells] > 0)
    return Codes.of(codes, series_metric(model, series), remainder.flatten(2), series)


def _set_rates(model: OceanModel, training: list[Codes]) -> None:
    """Units of the state's derivatives: the spread of one-interval changes, and of changes of these."""
    interval = model.spec.interval_days
    codes = training[0].codes
    spreads = [codes.std()]
    difference = codes
    for _ in range(model.dynamics.order):
        difference = (difference[:, 1:] - difference[:, :-1]) / interval
        spreads.append(difference.std())
    rates = torch.stack(spreads[1:]) / torch.stack(spreads[:-1])
    model.dynamics.rates.copy_(rates)
    model.unresolved_dynamics.rates.copy_(rates)
    with torch.no_grad():
        for initialiser in (model.initialiser, model.unresolved_initialiser):
            if initialiser.order > 1:
                initialiser.weights.zero_()
                recent = min(5, initialiser.lags)
                initialiser.weights[0, :recent] = 0.5 / (recent * interval * float(rates[0]))


def _channel(dataset: xr.Dataset, name: str, spread: float) -> ChannelSpec:
    attributes = dataset[name].attrs
    return ChannelSpec(
        name=name,
        units=attributes.get("units", "1"),
        standard_name=attributes.get("standard_name"),
        long_name=attributes.get("long_name"),
        spread=float(spread),
    )
