"""How much of the way transfer closes: from the run as it came to one that learned the observed ocean's simulation.

Where both are alike there is nothing to close. What the numbers of the ocean are worth at all is told by a 4D-Var
without training (peers/quasi_geostrophic.py), given those of the simulated ocean and those of the observed one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from demo import compared
from peers.quasi_geostrophic import equations_of, forecasts
from peers.variational import VariationalConfig

from data_pipeline.simulators.quasi_geostrophic import simulate
from data_pipeline.stores.writing import open_store, write_store
from data_pipeline.system.progress import reported
from dino.commands.common import one_trajectory, open_kind, transfer_task
from dino.commands.demo import filled
from dino.data.observations import Observations, day_of
from dino.errors import NonFiniteError
from dino.evaluation.evaluate import Evaluation, evaluate_observations
from dino.experiments.train import train
from dino.forecaster import Forecaster
from dino.model.checkpoint import load_model

from .comparison import in_turn
from .oceans import Simulated, observed

ANOTHER = 104729  # added to the seed of the simulated ocean: no run of it may be the observed one
KNOWS = ("one-layer", "two-layer")
STEPS_PER_DAY = 4  # of the 4D-Var: an ocean with more energy blows up with the two that the demo's takes

Errors = dict[str, float]


def way(
    ocean: Simulated, names: Sequence[str], days: float, seed: int, layers: Sequence[str] = KNOWS
) -> dict[str, Any]:
    """RMSE [cm] by method and lead [days] of forecasts from sparse observations, 0 the analysis, and shares closed.

    names : strategies, given the last `days` before the scored ones; layers : what the 4D-Var knows
    """
    settings, own = ocean.config(seed), own_run(ocean, seed)
    start = settings.evaluation.start
    assert start is not None
    seen, before = observed(ocean, seed), day_of(start)
    seen = seen.window(before - days, np.nextafter(before, -np.inf))
    made: dict[str, Errors] = {}
    told: dict[str, Any] = {}
    for name in names:
        adapted = ocean.fresh(seed)
        result = in_turn(name)(transfer_task(adapted, seen, settings), lambda *told: None)
        told[name] = {"kept": result.kept, "misfit_of_rounds": result.rounds}
        made[name] = errors(evaluated(ocean, adapted, seed))
    last = evaluated(ocean, own, seed)
    made["own_simulation"] = errors(last)
    for whose, store in (("model", "model_ocean.zarr"), ("own", "own_ocean.zarr")):
        for knows in layers:
            try:
                peer = physics(ocean, seed, ocean.folder(seed) / store, knows, last)
            except NonFiniteError as error:
                told[f"{knows}_{whose}_numbers"] = {"refused": str(error)}
                continue
            made[f"{knows}_{whose}_numbers"] = errors(last, peer)
    return {"rmse_cm": made, "starts": len(last.maps.starts), "transfers": told, "closed": closed(made, names)}


def closed(made: Mapping[str, Errors], names: Sequence[str]) -> dict[str, Errors]:
    """(came - adapted) / (came - trained on the ocean's own simulation) by strategy and lead."""
    came, own = made["none"], made["own_simulation"]
    return {
        name: {lead: (came[lead] - made[name][lead]) / (came[lead] - own[lead]) for lead in came}
        for name in names
        if name != "none"
    }


def own_run(ocean: Simulated, seed: int) -> Forecaster:
    """The run that the same configuration makes of a simulation with the observed ocean's numbers."""
    folder = ocean.folder(seed)
    store, run = folder / "own_ocean.zarr", folder / "own-run"
    if not store.exists():
        known = equations_of(open_store(folder / "model_ocean.zarr"), "two-layer")
        truth = equations_of(open_store(folder / "real_ocean.zarr"), "two-layer")
        numbers = {name: getattr(truth, name) for name in ("shear_m_s", "deformation_radius_km")}
        own = known.model_copy(update={**numbers, "seed": known.seed + ANOTHER})
        with reported("simulating") as report:
            write_store(simulate(own, progress=report), store)
    settings = filled(ocean.settings, store, ocean.sizes, seed)
    if not (run / "model.json").exists():
        with reported("training") as report:
            train(settings, run, report, resume=(run / "state.pt").exists())
    return Forecaster(*load_model(run), settings.assimilation)


def evaluated(ocean: Simulated, forecaster: Forecaster, seed: int) -> Evaluation:
    """Forecasts from the ocean's observations on its scored days."""
    truth, seen = ocean.stores(seed)
    fields = one_trajectory(open_kind(truth, "fields"), 0).load()
    config = ocean.config(seed).evaluation
    return evaluate_observations(forecaster, fields, open_store(seen).load(), config, None, None, lambda *told: None)


def physics(ocean: Simulated, seed: int, store: Path, knows: Any, like: Evaluation) -> np.ndarray:
    """Maps (start, 1 + lead, channel, point) of the 4D-Var that knows the equations behind a store."""
    window = round(ocean.config(seed).assimilation.window_days)
    stages = tuple(sorted({-(-window * third // 3) for third in (1, 2, 3)}))
    settings = VariationalConfig(knows=knows, window_days=window, stages_days=stages, steps_per_day=STEPS_PER_DAY)
    seen = Observations.from_dataset(open_store(ocean.stores(seed)[1]).load(), ("ssh",))
    leads = [0.0, *map(float, like.leads)]
    return forecasts(seen, open_store(store).load(), list(like.maps.starts), leads, settings)[:, :, None]


def errors(evaluation: Evaluation, peer: np.ndarray | None = None) -> Errors:
    """RMSE [cm] by lead, of the model or of a peer's maps on the same cells."""
    name = "dino" if peer is None else "quasi_geostrophic"
    now = evaluation.maps.analyses["dino"]
    given = np.repeat(now[:, None], 1 + len(evaluation.leads), axis=1) if peer is None else peer
    rmse, analysis = compared(evaluation.maps, evaluation.leads, given)
    return {"0": analysis[name], **rmse[name]}
