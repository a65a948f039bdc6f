"""The demo: an ocean to learn from, and another to observe as satellites would, transfer to and forecast."""

from dataclasses import dataclass
from pathlib import Path

from data_pipeline.observing.swaths import SampleConfig, sample
from data_pipeline.simulators.quasi_geostrophic import QuasiGeostrophicConfig, simulate
from data_pipeline.stores.writing import open_store, write_store
from data_pipeline.system.progress import Progress


@dataclass(frozen=True)
class DemoSizes:
    """How much of everything; the quick variant runs the same code in under a minute.

    The equations of two layers are given, so that a tenth of what a network wants to see is enough (`FULL` is that).
    """

    runs: int = 26
    trajectories: int = 52
    days: int = 50
    grid: int = 40
    real_days: int = 84
    scored_from: str = "2000-02-20"
    length_km: float = 640.0
    spin_up_days: int = 100
    real_shear_m_s: float = 0.13
    real_radius_km: float = 38.0


FULL = DemoSizes(runs=256, trajectories=512)
# An ocean with more energy and smaller eddies than any that was simulated to learn from.
FAR = DemoSizes(runs=256, trajectories=512, real_shear_m_s=0.17, real_radius_km=36.0)
QUICK = DemoSizes(
    runs=12, trajectories=12, days=24, grid=24, real_days=40, scored_from="2000-01-21", length_km=500.0, spin_up_days=40
)
QUICK_SETTINGS = [
    "decoder.code_size=160", "decoder.hidden=96", "data.translations=2", "field.steps=120", "dynamics.steps=150",
    "dynamics.hidden=64", "dynamics.points=16",
    "assimilation.window_days=8", "transfer.rounds=1", "transfer.steps=20", "transfer.window_days=8",
    "transfer.horizon_days=3", "transfer.stride_days=3",
    "evaluation.stride=5", "evaluation.leads_days=[1, 3, 5]", "dynamics.horizons=[3, 6]",
]  # fmt: skip


def make_oceans(folder: Path, sizes: DemoSizes, seed: int, report: Progress) -> tuple[Path, Path, Path]:
    """Simulate both oceans and observe the second; returns the paths of model, real and observation stores.

    The observed ocean has weaker shear, a smaller deformation radius and its own chance: no run of the model ocean
    contains it.
    """
    box = {
        "shear_m_s": 0.14,
        "grid": sizes.grid,
        "length_km": sizes.length_km,
        "spin_up_days": sizes.spin_up_days,
        "workers": 2,
    }
    # Of the ocean that is learned from the layer below the surface is known too, of the observed one sea level alone.
    known = QuasiGeostrophicConfig(
        runs=sizes.runs, trajectories=sizes.trajectories, days=sizes.days, seed=seed + 1, lower_layer=True, **box
    )
    model = simulate(known, progress=report)
    truth = simulate(
        QuasiGeostrophicConfig(
            **{**box, "shear_m_s": sizes.real_shear_m_s},
            trajectories=1,
            days=sizes.real_days,
            seed=seed + 7919,
            deformation_radius_km=sizes.real_radius_km,
        )
    )
    model_path = write_store(model, folder / "model_ocean.zarr", overwrite=True)
    real_path = write_store(truth, folder / "real_ocean.zarr", overwrite=True)
    seen = sample(open_store(real_path), SampleConfig.model_validate(observing_system(seed)))
    return model_path, real_path, write_store(seen, folder / "observations.zarr", overwrite=True)


def observing_system(seed: int) -> dict:
    """Two wide swaths ten days apart on one orbit and two nadir altimeters, 2 cm of white error."""
    return {
        "seed": seed,
        "trajectory": 0,
        "instruments": [
            {"name": "swath-a", "kind": "swath", "orbit": "swot", "spacing_km": 10.0, "error_std": 0.02},
            {
                "name": "swath-b",
                "kind": "swath",
                "orbit": "swot",
                "epoch": "1999-12-22T06:00:00",
                "spacing_km": 10.0,
                "error_std": 0.02,
            },
            {"name": "nadir-10-day", "kind": "nadir", "orbit": "jason", "error_std": 0.02},
            {"name": "nadir-27-day", "kind": "nadir", "orbit": "sentinel-3a", "error_std": 0.02},
        ],
    }
