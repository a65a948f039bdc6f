"""Two layers of flow from points alone: numbers fitted to the points, simulated, learned from as maps, fitted again.

Sea level alone has no skill beyond relaxation; with the layer below it has. Its equations are given
(`dynamics.form: layers`) and six numbers of them are not. A round simulates oceans with the present numbers, trains a
run on them as on any maps, and fits the numbers by what its filter forecasts days ahead of the points
(`transfer.numbers`). The first round begins at the numbers of no ocean in particular (`layers_fit.first_numbers`), with
a wide prior; the last one is full size. What is known of the ocean beside its points is the form of its equations, its
latitude, and that it is periodic.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch

from data_pipeline.simulators.quasi_geostrophic import QuasiGeostrophicConfig, simulate
from data_pipeline.stores.writing import write_store
from data_pipeline.system.atomic import writing_file
from data_pipeline.system.progress import Progress, silent

from ..config import Config, StoreConfig
from ..data.observations import Observations
from ..dynamics import LayeredODE, LayerNumbers
from ..errors import ConfigError, EmptyDataError
from ..forecaster import Forecaster
from ..model import Ocean
from ..model.checkpoint import save_config, save_model
from ..numerics.parallel import Group
from ..space.domain import PeriodicBox
from ..training.layers_fit import first_numbers
from ..transfer.evidence import levelled
from ..transfer.numbers import fitted, names_of
from .points_held_out import measure_points
from .points_record import channels_of, record_of_points

CELL_KM = 16.0  # of the simulated grid
GAP_SEED = 1000  # between the seeds of simulations of different runs
UPPER, NUMBERS = "ssh", "numbers.json"  # the channel of a simulation that is seen; what a round found
FIRST_DAYS, LAST_DAYS = 20.0, 30.0  # of the record to which a round's numbers are fitted, and the last round's
FIRST_SEARCH, LAST_SEARCH = 4, 2  # rounds of the search
FIRST_SHARE = 0.4  # of the decoder's steps, in all rounds but the last
# Standard deviations of the first round's priors: nothing is known of an ocean but where it is, which tells beta.
UNSURE = {"upper": math.log(4.0), "lower": math.log(4.0), "flow": 2.0, "beta": 0.1, "drag": math.log(4.0)}
UNSURE |= {"viscosity": math.log(1.5), "size": math.log(4.0), "noise": math.log(10.0)}


def train_layers_from_points(config: Config, folder: Path, report: Progress, resume: bool, group: Group) -> Forecaster:
    """Train two layers on the points of the stores of `config`; arguments as of `train`.

    The rounds are runs in `folder`/rounds, each resumable and each used again when a stopped run is resumed. Raises
    `ConfigError` for points that are not said to lie in a square periodic box.
    """
    record = record_of_points(config)
    box = _square(record.box)
    if group.leads:
        save_config(config, folder)
    numbers, made = first_numbers(box.latitude), None
    for turn in range(config.points.rounds):
        last = turn == config.points.rounds - 1
        here = folder / "rounds" / f"{turn + 1}"
        if resume and not last and (here / NUMBERS).exists():
            numbers = LayerNumbers(**json.loads((here / NUMBERS).read_text()))
            continue
        days = LAST_DAYS if last else FIRST_DAYS
        seen = record.points.between(record.span[1] - days, record.span[1])
        if seen is None:
            raise EmptyDataError(f"the last {days:g} days before the held-out ones hold no point; give a longer record")
        taught = _taught(config, here, turn, numbers, box, report, resume, group)
        made = group.from_first(lambda taught=taught, seen=seen, last=last: _adapted(taught, seen, last, report))
        numbers = _numbers(made)
        if group.leads:
            with writing_file(here / NUMBERS) as partial:
                partial.write_text(json.dumps(numbers._asdict(), indent=1) + "\n")
    assert made is not None
    channels = [
        c.model_copy(update={"spread": float(s)})
        for c, s in zip(channels_of(record, config), made.ocean.spread, strict=True)
    ]
    made.ocean = Ocean(tuple(channels), made.ocean.cover, made.ocean.background)
    if group.leads:
        measure_points(made, record, config).write(folder)
        save_model(made.latent, made.ocean, folder)
        last_run = folder / "rounds" / f"{config.points.rounds}" / "run"
        (folder / "metrics.jsonl").write_text((last_run / "metrics.jsonl").read_text())
    return made


def _square(box: PeriodicBox | None) -> PeriodicBox:
    if box is None or box.length_km[0] != box.length_km[1]:
        raise ConfigError(
            "dynamics.form=layers wants points of a square periodic box, whose sides the first store tells "
            "(periodic_length_km); train others with dynamics.form=network, in which codes relax"
        )
    return box


def _taught(
    config: Config, folder: Path, turn: int, numbers: LayerNumbers, box: PeriodicBox, report: Progress, resume: bool,
    group: Group,
) -> Forecaster:  # fmt: skip
    """A run trained on oceans simulated with some numbers."""
    from .train import train

    last = turn == config.points.rounds - 1
    store = folder / "simulated.zarr"
    if not (resume and store.exists()):
        group.from_first(lambda: _simulated(config, store, turn, numbers, box, last))
    data = config.data.model_copy(
        update={"stores": [StoreConfig(path=store)], "channels": [UPPER], "train_start": None, "train_end": None}
    )
    if not last:  # its modes only have to carry the fit of the numbers
        field = config.field.model_copy(update={"steps": max(1, round(FIRST_SHARE * config.field.steps))})
        config = config.model_copy(update={"field": field})
    begun = resume and (folder / "run" / "state.pt").exists()
    return train(
        config.model_copy(update={"data": data}), folder / "run", report if group.leads else silent, begun, group
    )


def _simulated(config: Config, store: Path, turn: int, numbers: LayerNumbers, box: PeriodicBox, last: bool) -> None:
    """Write a store of oceans with some numbers; the simulator has its own damping of the smallest waves."""
    points = config.points
    store.parent.mkdir(parents=True, exist_ok=True)
    runs = points.oceans if last else points.runs
    wanted = QuasiGeostrophicConfig(
        trajectories=runs,
        runs=runs,
        days=points.days,
        spin_up_days=100,
        seed=GAP_SEED * (config.seed + 1) + turn,
        grid=max(24, 2 * round(box.length_km[0] / CELL_KM / 2)),
        length_km=box.length_km[0],
        reference_latitude=box.latitude,
        reference_longitude=box.longitude,
        deformation_radius_km=(numbers.upper + numbers.lower) ** -0.5,
        layer_depth_ratio=numbers.lower / numbers.upper,
        shear_m_s=numbers.flow / 86.4,
        drag_days=1.0 / numbers.drag,
        lower_layer=True,
    )
    write_store(simulate(wanted), store, overwrite=True)


def _adapted(taught: Forecaster, seen: Observations, last: bool, report: Progress) -> Forecaster:
    """The run with the numbers that forecast the points best; the first rounds look far, the last one near."""
    taught.ocean = levelled(taught.ocean, seen)
    if last:
        return fitted(taught, seen, report, rounds=LAST_SEARCH)[0]
    names = names_of(taught.latent)
    precision = torch.tensor([UNSURE[name] for name in names], dtype=torch.float64) ** -2
    start = torch.zeros_like(precision)
    anomaly = seen.values - taught.ocean.background.at(seen.longitude, seen.latitude)
    power = np.nanmean(anomaly**2) - np.nanmean(np.nan_to_num(seen.error) ** 2)
    start[names.index("size")] = 0.5 * math.log(max(float(power), 1e-12) / float(taught.ocean.spread[0]) ** 2)
    return fitted(taught, seen, report, precision, start, FIRST_SEARCH)[0]


def _numbers(made: Forecaster) -> LayerNumbers:
    assert isinstance(made.latent.dynamics, LayeredODE)
    return LayerNumbers(*made.latent.dynamics.numbers.tolist())
