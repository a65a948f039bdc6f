"""Training of a run, from stores to a model on disk: the whole recipe on one screen."""

from pathlib import Path

import numpy as np
import torch

from data_pipeline.system.progress import Progress, silent

from ..config import Config, DecoderConfig
from ..data.charts import kept_cells
from ..data.codes import CodeSeries
from ..data.observations import day_of, days_since_epoch
from ..data.series import Series
from ..data.streamed import StreamedSeries
from ..errors import ConfigError
from ..evaluation.calibrate_maps import Segment, calibrate_from_maps, segments_of
from ..forecaster import Forecaster
from ..model import LatentModel
from ..model.checkpoint import load_run_config, save_config, save_model
from ..model.hidden import without_hidden
from ..numerics.memory import release_freed_memory
from ..numerics.modes import with_gradients
from ..numerics.parallel import ALONE, Group
from ..space.decoders import decode
from ..training.code_statistics import encode_series, learn_code_statistics, series_metric
from ..training.collocation import fit_quadratic
from ..training.descent_stage import DescentStage
from ..training.dynamics_stage import UNRESOLVED_CELLS, DynamicsStage, shrink_network
from ..training.field_stage import FieldStage
from ..training.held_out import measure_held_out
from ..training.layers_fit import add_error_of_numbers, fit_layers, lay_layers
from ..training.loop import Loop
from ..training.model_error import measure_model_error, state_population
from ..training.prepare import Split, found_stores, open_fields, prepare
from .points_record import holds_points

# Cells at which what the codes leave is kept: so many, fewer of a store of very many maps.
UNRESOLVED_POOL, UNRESOLVED_VALUES = 256, 2**26
# Series from which the units of the state are measured.
RATE_SERIES = 4096


@with_gradients
def train(
    config: Config, folder: Path, report: Progress, resume: bool = False, group: Group | None = None
) -> Forecaster:
    """Train on the stores of `config` and leave a run in `folder`; of points alone where a store gives points.

    Stages: decoder (variable projection), code statistics, dynamics (multiple shooting, or least squares and descent),
    model error, factors of the spread of forecasts from maps.
    The same seed gives the same run, interrupted or not. The processes of a `group` (see `parallel.joined`) train one
    run together, on the group's devices; its first process reports and writes, and the others return the same model.
    Raises `DinoError`s for stores, channels and periods that do not fit.
    """
    group = group or Group(config.device)
    report = report if group.leads else silent
    if resume:
        _refuse_another(config, folder)
    else:
        _refuse_narrow(config.decoder)
    if holds_points(config):
        # What learns from no map knows of none: no series, no codes of maps, other stages.
        from .points_layers import train_layers_from_points
        from .train_points import train_from_points

        learn = train_layers_from_points if config.dynamics.form == "layers" else train_from_points
        return learn(config, folder, report, resume, group)
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    splits, model, ocean = prepare(config)
    model.to(group.device)
    if group.leads:  # not before: what was refused leaves no folder
        save_config(config, folder)
    loop = Loop(folder, resume, group=group)
    loop.restore(model, generator)

    copies = [copy.to(group.device) for split in splits for copy in split.copies]
    if not loop.done("field"):
        training = [*(split.training.to(group.device) for split in splits), *copies]
        held = splits[0].validation.to(group.device)
        loop.run(FieldStage(model, training, held, config.field, generator, group), report)
        learn_code_statistics(model, [series.at(config.field.steps) for series in training], config.field, group)
        del training, held  # and with them the maps that a streamed store keeps to draw from
        release_freed_memory()
        loop.checkpoint(model, generator)

    data = [_codes(model, split.series.to(group.device), group) for split in splits]
    seen = [_training_codes(codes, split) for codes, split in zip(data, splits, strict=True)]
    seen += [_codes(model, copy, group) for copy in copies]
    apart = splits[0].apart
    if apart is None:
        held = _held_out_codes(data[0], splits[0], history=model.lags)
    else:
        held = _codes(model, apart.to(group.device), group)
    release_freed_memory()
    if not loop.done("dynamics"):
        _set_rates(model, seen)
        if config.dynamics.form == "quadratic":
            loop.record("dynamics", fit_quadratic(model, seen, held, report, group))
            loop.checkpoint(model, generator)
        elif config.dynamics.form == "layers":
            lay_layers(model, ocean)
            loop.record("dynamics", fit_layers(model, seen, generator).errors)
            loop.checkpoint(model, generator)
        else:
            stage = DynamicsStage(model, seen, held, config.dynamics, generator, group)
            loop.run(stage, report, config.dynamics.patience)
    if config.dynamics.form == "network" and not loop.done("shrink"):
        loop.record("shrink", shrink_network(model, held, config.dynamics))
        loop.checkpoint(model, generator)
    if config.dynamics.descent_steps and not loop.done("descent"):
        stage = DescentStage(model, seen, held, config.dynamics, generator, group)
        loop.run(stage, report)  # to its end: errors may rise while the rate does
    model.state_covariance.copy_(state_population(model, seen))
    measure_model_error(model, held)
    if config.dynamics.form == "layers":
        # With draws of its own: the same again when a finished run is resumed.
        add_error_of_numbers(model, seen, torch.Generator().manual_seed(config.seed))
    model.eval()
    shown, ocean = without_hidden(model, ocean, len(config.data.channels))
    forecaster = Forecaster(shown, ocean, config.assimilation)
    calibrate_from_maps(forecaster, held_out_maps(config, forecaster, splits[0]))
    loop.checkpoint(model, generator)
    if group.leads:
        measure_held_out(model, splits[0].validation.to(group.device), held).write(folder)
        save_model(shown, ocean, folder)
    return forecaster


def latent_trajectories(config: Config, model: LatentModel) -> list[CodeSeries]:
    """Codes of the maps that a trained model has learned from, one entry a store of `config`."""
    seen = config.data.model_copy(update={"hidden": []})  # of what the finished run no longer shows
    splits, _, _ = prepare(config.model_copy(update={"data": seen}))
    device = str(model.device)
    return [_training_codes(_codes(model, split.series.to(device), ALONE), split) for split in splits]


def _refuse_narrow(decoder: DecoderConfig) -> None:
    """Raise ConfigError when a decoder's modes cannot span its code; runs of earlier versions may, and load."""
    # Every layer adds its shift of the hidden units: modes span no more dimensions than all these have together.
    most = decoder.hidden * (decoder.layers + 1)
    if decoder.kind == "fourier" and decoder.code_size > most:
        raise ConfigError(
            f"a decoder of {decoder.hidden} hidden units and {decoder.layers} layers after the first spans {most} "
            f"dimensions, fewer than decoder.code_size={decoder.code_size}; raise hidden or lower code_size"
        )


def _refuse_another(config: Config, folder: Path) -> None:
    """Raise ConfigError when a run to be resumed was begun with other sizes, stages or seed."""
    if (folder / "config.yaml").is_file():
        begun = load_run_config(folder)
        for name in ("seed", "domain", "decoder", "field", "dynamics", "points"):
            if getattr(begun, name) != getattr(config, name):
                raise ConfigError(
                    f"{folder} was begun with another {name} than it is to be resumed with; "
                    "resume with its own config.yaml or train anew in another folder"
                )


def _held_out_codes(codes: CodeSeries, split: Split, history: int) -> CodeSeries:
    return codes.subset(split.series.rows(split.held_rows)).frames(split.held_frames(history))


def held_out_maps(config: Config, forecaster: Forecaster, split: Split) -> list[Segment]:
    """Forecasts to be checked on maps that were held out, from the store itself: the series are cut and normalised.

    None where areas are held out and not times: the run's own tiles are trained on at all of them.
    """
    if split.apart is not None:
        return []
    dataset = open_fields(found_stores(config.data.stores)[0])
    days = days_since_epoch(dataset["time"].values)
    low, high = (None if t is None else day_of(t) for t in (config.data.train_start, config.data.train_end))
    inside = (days >= (days[0] if low is None else low)) & (days <= (days[-1] if high is None else high))
    dataset = dataset.isel(time=np.flatnonzero(inside))
    if split.held:
        dataset = dataset.isel(trajectory=slice(-split.held, None))
    kept = None
    if config.data.keep < 1:
        shape = [dataset.sizes[d] for d in dataset[config.data.channels[0]].dims if d not in ("time", "trajectory")]
        kept = kept_cells((shape[0], shape[1]), config.data.keep, config.data.keep_seed)
    return segments_of(forecaster, dataset, split.held_frames().start or 0, kept)


def _training_codes(codes: CodeSeries, split: Split) -> CodeSeries:
    return codes.subset(split.series.rows(split.training_rows)).frames(split.training_frames)


@torch.no_grad()
def _codes(model: LatentModel, series: Series | StreamedSeries, group: Group) -> CodeSeries:
    """Codes of all maps and what they leave at some cells; of a streamed store they are all that stays in memory."""
    shape = (series.count, len(series.times))
    some = max(UNRESOLVED_CELLS, min(UNRESOLVED_POOL, UNRESOLVED_VALUES // (shape[0] * shape[1])))
    coordinates, channels = series.coordinates, model.spec.channels
    cells = torch.linspace(0, len(coordinates) - 1, some, device=coordinates.device).long().unique()
    codes = coordinates.new_zeros(*shape, model.decoder.code_size)
    remainder = coordinates.new_zeros(*shape, len(cells) * channels)
    for rows, times, part in series.parts(group):
        found, _ = encode_series(model, part, model.code_prior)
        fields = decode(model.decoder, coordinates[cells], found)
        left = (part.values[:, :, cells] - fields) * (part.weights[:, None, cells] > 0)
        codes[rows, times], remainder[rows, times] = found, left.flatten(2)
    group.sum_([codes])
    group.sum_([remainder])
    return CodeSeries.of(codes, series_metric(model, series, codes), remainder, series)


def _set_rates(model: LatentModel, training: list[CodeSeries]) -> None:
    """Units of the state's derivatives: the spread of one-interval changes, and of changes of these."""
    interval = model.spec.interval_days
    codes = training[0].codes[:: max(1, len(training[0].codes) // RATE_SERIES)]
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
