"""Training of a run, from stores to a model on disk: the whole recipe on one screen."""

from pathlib import Path

import torch

from ..checkpoint import load_run_config, save_config, save_model
from ..config import Config
from ..decoders import decode
from ..errors import ConfigError
from ..model import OceanModel
from .calibration import measure_model_error, state_population
from .code_statistics import encode_series, learn_code_statistics, series_metric
from .collocation import fit_quadratic
from .descent_stage import DescentStage
from .dynamics_stage import Codes, DynamicsStage
from .field_stage import FieldStage
from .loop import Loop, Report
from .parallel import Group
from .prepare import Split, prepare
from .series import Series

UNRESOLVED_POOL = 256


def train(config: Config, folder: Path, report: Report, resume: bool = False, group: Group | None = None) -> OceanModel:
    """Train on the stores of `config` and leave a run in `folder`.

    Stages: decoder (variable projection), code statistics, dynamics (multiple shooting, or least squares and descent),
    model error.
    The same seed gives the same run, interrupted or not. The processes of a `group` (see `parallel.joined`) train one
    run together, on the group's devices; its first process reports and writes, and the others return the same model.
    Raises `DinoError`s for stores, channels and periods that do not fit.
    """
    group = group or Group(config.device)
    report = report if group.leads else _silent
    if resume:
        _refuse_another(config, folder)
    if group.leads:
        folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    splits, model = prepare(config)
    model.to(group.device)
    if group.leads:
        save_config(config, folder)
    loop = Loop(folder, resume, group=group)
    loop.restore(model, generator)

    copies = [copy.to(group.device) for split in splits for copy in split.copies]
    training = [split.training.to(group.device) for split in splits] + copies
    target = splits[0]
    if not loop.done("field"):
        held = _held_out(target, history=0).to(group.device)
        loop.run(FieldStage(model, training, held, config.field, generator, group), report)
        learn_code_statistics(model, training, config.field, group)
        loop.checkpoint(model, generator)

    data = [_codes(model, split.series.to(group.device), group) for split in splits]
    seen = [_training_codes(codes, split) for codes, split in zip(data, splits, strict=True)]
    seen += [_codes(model, copy, group) for copy in copies]
    held = _held_out_codes(data[0], target, history=model.lags)
    if not loop.done("dynamics"):
        _set_rates(model, seen)
        if config.dynamics.form == "quadratic":
            loop.record("dynamics", fit_quadratic(model, seen, held, report, group))
            loop.checkpoint(model, generator)
        else:
            stage = DynamicsStage(model, seen, held, config.dynamics, generator, group)
            loop.run(stage, report, config.dynamics.patience)
    if config.dynamics.descent_steps and not loop.done("descent"):
        stage = DescentStage(model, seen, held, config.dynamics, generator, group)
        loop.run(stage, report)  # to its end: errors may rise while the rate does
    model.state_covariance.copy_(state_population(model, seen))
    measure_model_error(model, held)
    loop.checkpoint(model, generator)
    if group.leads:
        save_model(model, folder)
    return model.eval()


def _silent(done: int, total: int) -> None:
    """The first process alone reports."""


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
def _codes(model: OceanModel, series: Series, group: Group) -> Codes:
    codes, _ = encode_series(model, series, model.code_prior, group=group)
    cells = torch.linspace(0, series.coordinates.shape[0] - 1, UNRESOLVED_POOL, device=codes.device).long().unique()
    fields = decode(model.decoder, series.coordinates[cells], codes)
    remainder = (series.values[:, :, cells] - fields) * (series.weights[:, None, cells] > 0)
    return Codes.of(codes, series_metric(model, series, codes), remainder.flatten(2), series)


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
