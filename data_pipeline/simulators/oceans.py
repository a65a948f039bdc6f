"""Many quasi-geostrophic oceans whose parameters fill their ranges evenly: a Latin hypercube, one store for each ocean.

A model that has to serve any sea should learn on oceans that differ as seas do: in rotation, in the size of eddies, in
how strongly the mean flow feeds them and how soon the bottom stops them. A Latin hypercube (McKay et al. 1979,
Technometrics 21) of N points visits every N-th part of every range once.

Observed sea level reaches a model as maps, which smooth it in space and time. `mapped` smooths the simulated one alike.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy.stats import qmc

from data_pipeline.errors import MissingFileError, StoreError
from data_pipeline.simulators import quasi_geostrophic
from data_pipeline.simulators.quasi_geostrophic import QuasiGeostrophicConfig
from data_pipeline.simulators.smoothing import low_pass
from data_pipeline.stores.growing import grow_store
from data_pipeline.stores.parts import FieldParts, Report
from data_pipeline.stores.writing import open_store
from data_pipeline.system.progress import Progress

Range = tuple[float, float]
KM_PER_DAY = 86.4  # of 1 m/s
MARGIN = 3  # standard deviations of the smoothing in time that are simulated on either side, and cut off


class OceansConfig(BaseModel):
    """What oceans to simulate. `shear` is drawn in units of the least shear that is unstable without drag."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    oceans: int = Field(default=16, ge=1, description="number of oceans")
    seed: int = Field(default=0, ge=0)
    latitude: Range = Field(default=(15, 50), description="degrees; every other ocean lies in the south")
    deformation_radius_km: Range = (20, 45)
    shear: Range = Field(default=(1.1, 1.7), description="over the critical shear of a two-layer ocean")
    drag_days: Range = (8, 60)

    trajectories: int = Field(default=4, ge=1, description="of each ocean")
    days: float = Field(default=40, gt=0)
    spin_up_days: float = Field(default=150, ge=0)
    output_interval_days: float = Field(default=1, gt=0)
    grid: int = Field(default=64, ge=8, description="points along each side")
    length_km: float = Field(default=1280, gt=0, description="side of the periodic box")
    layer_depth_ratio: float = Field(default=0.25, gt=0, description="upper over lower layer depth")
    mapped: bool = Field(default=False, description="smooth in space and time as maps of altimetry do")
    mapped_km: float = Field(default=60, gt=0, description="full width at half maximum of the smoothing in space")
    mapped_days: float = Field(default=12, gt=0, description="full width at half maximum of the smoothing in time")
    workers: int = Field(default=1, ge=1, description="threads; the numbers do not depend on it")

    @model_validator(mode="after")
    def _ranges(self) -> "OceansConfig":
        for name in ("latitude", "deformation_radius_km", "shear", "drag_days"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} must be a range of positive numbers, low and high, not {low:g}, {high:g}")
        if self.latitude[0] < 5 or self.latitude[1] > 70:
            raise ValueError("latitude must stay within 5..70 degrees; the sign is drawn")
        return self

    @property
    def margin(self) -> int:
        """Maps simulated on either side of a trajectory for the smoothing in time."""
        return int(np.ceil(MARGIN * self.mapped_days / FULL_WIDTH / self.output_interval_days)) if self.mapped else 0


FULL_WIDTH = 2 * np.sqrt(2 * np.log(2))  # full width at half maximum of a Gaussian, in standard deviations


def draw_oceans(config: OceansConfig) -> list[QuasiGeostrophicConfig]:
    """The settings of each ocean: the same for the same seed and number of oceans."""
    unit = qmc.LatinHypercube(d=4, rng=np.random.default_rng(config.seed)).random(config.oceans)
    ranges = (config.latitude, config.deformation_radius_km, config.shear, config.drag_days)
    # Radius, shear and drag act by their ratios.
    spaced = (np.array, np.log, np.log, np.log), (np.array, np.exp, np.exp, np.exp)
    columns = []
    for column, (low, high), there, back in zip(unit.T, ranges, *spaced, strict=True):
        columns.append(back(there(low) + column * (there(high) - there(low))))
    return [_ocean(config, number, *map(float, values)) for number, values in enumerate(zip(*columns, strict=True))]


def _ocean(
    config: OceansConfig, number: int, latitude: float, radius: float, shear: float, drag: float
) -> QuasiGeostrophicConfig:
    latitude *= -1 if number % 2 else 1
    made = QuasiGeostrophicConfig(
        trajectories=config.trajectories,
        days=config.days + 2 * config.margin * config.output_interval_days,
        output_interval_days=config.output_interval_days,
        spin_up_days=config.spin_up_days,
        runs=config.trajectories,
        seed=int(np.random.SeedSequence([config.seed, number]).generate_state(1)[0]),
        workers=config.workers,
        grid=config.grid,
        length_km=config.length_km,
        reference_latitude=latitude,
        reference_longitude=0.0,
        deformation_radius_km=radius,
        layer_depth_ratio=config.layer_depth_ratio,
        drag_days=drag,
        initial_wavelength_km=min(12 * radius, config.length_km / 2),
        initial_ssh_std_m=0.1,
    )
    # Unstable without drag where the lower layer's gradient of potential vorticity turns over: beta < F2 U.
    lower = config.layer_depth_ratio / (1 + config.layer_depth_ratio) / radius**2
    speed = shear * made.beta / lower / KM_PER_DAY
    return made.model_copy(update={"shear_m_s": speed})


def ocean_parts(config: OceansConfig, ocean: QuasiGeostrophicConfig) -> FieldParts:
    """The field store of one ocean, smoothed where `mapped`, its parameters in the attributes."""
    raw = quasi_geostrophic.parts(ocean)
    inner = slice(config.margin, raw.fields.sizes["time"] - config.margin)
    space = config.mapped_km / FULL_WIDTH / (config.length_km / config.grid)
    time = config.mapped_days / FULL_WIDTH / config.output_interval_days
    fields = raw.fields.isel(time=slice(0, inner.stop - inner.start))
    names = ("reference_latitude", "deformation_radius_km", "shear_m_s", "drag_days")
    drawn = {f"ocean_{name}": getattr(ocean, name) for name in names}
    smoothing = {"mapped_km": config.mapped_km, "mapped_days": config.mapped_days} if config.mapped else {}
    fields = fields.assign_attrs(**drawn, **smoothing)

    def make(part: int, report: Report) -> Mapping[str, np.ndarray]:
        made = raw.make(part, report)
        if not config.mapped:
            return made
        return {name: low_pass(values, time, space)[:, inner] for name, values in made.items()}

    return FieldParts(fields, raw.sizes, make, raw.settings + _settings(config), raw.workers)


def _settings(config: OceansConfig) -> str:
    return repr((config.mapped, config.mapped_km, config.mapped_days) if config.mapped else False)


def simulate_oceans(
    config: OceansConfig, folder: Path, *, overwrite: bool = False, progress: Progress | None = None
) -> list[Path]:
    """Write `ocean-000.zarr`, `ocean-001.zarr`, ... into `folder` and return their paths.

    A store that is whole is kept, what was interrupted goes on: the same call finishes a folder. Raises StoreError for
    a store of other settings, unless `overwrite`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, ocean in enumerate(draw_oceans(config)):
        parts = ocean_parts(config, ocean)
        path = folder / f"ocean-{number:03d}.zarr"
        if overwrite or not _is_there(path, parts):
            grow_store(parts, path, overwrite=overwrite)
        paths.append(path)
        if progress is not None:
            progress(number + 1, config.oceans)
    return paths


def _is_there(path: Path, parts: FieldParts) -> bool:
    """Whether the whole store of these parts is at `path`; StoreError when it is another one."""
    try:
        there = open_store(path)
    except MissingFileError:
        return False
    wanted = parts.fields.attrs
    if any(there.attrs.get(name) != value for name, value in wanted.items() if name != "history") or (
        wanted["history"] not in there.attrs.get("history", "")
    ):
        raise StoreError(f"{str(path)!r} is an ocean of other settings; choose another --out or pass --overwrite")
    return True
