"""What a quasi-geostrophic ocean is made of: its settings, and what they say of the rotation of the Earth."""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_pipeline.layout.globe import EARTH_RADIUS_KM

EARTH_ROTATION_PER_DAY = 2 * np.pi / 0.99726957


class TracerConfig(BaseModel):
    """A temperature over a flow. Its defaults give eddies of half a kelvin over a front of 10 K in 1000 km."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean_c: float = Field(default=18.0, ge=0, le=35, description="degrees Celsius of the climatology, what is stored")
    gradient_k_per_km: float = Field(default=-0.01, description="of the climatology, northward")
    relaxation_days: float = Field(default=60.0, gt=0, description="time in which a departure returns to it")
    mixing_m2_s: float = Field(default=50.0, ge=0, description="diffusivity")
    weather_k_per_day: float = Field(default=0.03, ge=0, description="standard deviation of the random rate")
    weather_wavelength_km: float = Field(default=500.0, gt=0)
    weather_memory_days: float = Field(default=3.0, gt=0)


class QuasiGeostrophicConfig(BaseModel):
    """What to simulate. The defaults give an eddying ocean with the size and tempo of the Gulf Stream."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trajectories: int = Field(default=16, ge=1, description="pieces of ocean history to return")
    days: float = Field(default=80, gt=0, description="length of each trajectory; its last map is one interval earlier")
    output_interval_days: float = Field(default=1, gt=0)
    spin_up_days: float = Field(default=60, ge=0, description="discarded before the first trajectory of a run")
    runs: int | None = Field(default=None, ge=1, description="independent integrations; default: one each")
    gap_days: float = Field(default=30, ge=0, description="discarded between two trajectories of one run")
    seed: int = Field(default=0, ge=0)
    workers: int = Field(default=1, ge=1, description="threads; the numbers do not depend on it")

    grid: int = Field(default=64, ge=8, description="points along each side")
    length_km: float = Field(default=1000, gt=0, description="side of the periodic box")
    reference_latitude: float = Field(default=38, gt=-80, lt=80, description="degrees; sets f0 and beta")
    reference_longitude: float = Field(default=-60, ge=-180, lt=180)
    layers: Literal[1, 2] = 2
    deformation_radius_km: float = Field(default=40, gt=0)
    layer_depth_ratio: float = Field(default=0.25, gt=0, description="upper over lower layer depth")
    shear_m_s: float = Field(default=0.14, description="eastward flow of the upper layer over a lower layer at rest")
    lower_layer: bool = Field(
        default=False, description="also store the lower layer's streamfunction, as the sea level it would make"
    )
    tracer: TracerConfig | None = Field(default=None, description="also store `sst`, a temperature that is carried")
    drag_days: float | None = Field(default=10, gt=0, description="damping of the lowest layer; null: none")
    hyperviscosity_hours: float | None = Field(default=3, gt=0, description="damping of the smallest wave; null: none")
    forcing_m_per_day: float = Field(default=0, ge=0, description="standard deviation of the random sea-level tendency")
    forcing_wavelength_km: float = Field(default=200, gt=0)
    forcing_memory_days: float = Field(default=10, gt=0, description="its decorrelation time; very large: steady")
    initial_ssh_std_m: float = Field(default=0.2, gt=0)
    initial_wavelength_km: float = Field(default=400, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> "QuasiGeostrophicConfig":
        if abs(self.reference_latitude) < 5:
            raise ValueError("reference_latitude is within 5 degrees of the equator, where geostrophy fails")
        half_degrees = np.rad2deg(self.length_km / 2 / EARTH_RADIUS_KM)
        if abs(self.reference_latitude) + half_degrees > 85:
            raise ValueError(
                f"a box of {self.length_km:g} km about {self.reference_latitude:g} degrees comes too near a pole"
            )
        if self.output_interval_days > self.days:
            raise ValueError(f"output_interval_days={self.output_interval_days:g} exceeds days={self.days:g}")
        if self.lower_layer and self.layers == 1:
            raise ValueError("lower_layer=true wants layers=2; one layer has none below it")
        if self.runs is not None and self.runs > self.trajectories:
            raise ValueError(f"runs={self.runs} exceeds trajectories={self.trajectories}")
        return self

    @property
    def coriolis(self) -> float:
        """f0 [1/day]."""
        return 2 * EARTH_ROTATION_PER_DAY * np.sin(np.deg2rad(self.reference_latitude))

    @property
    def beta(self) -> float:
        """df/dy [1/(km day)]."""
        return 2 * EARTH_ROTATION_PER_DAY * np.cos(np.deg2rad(self.reference_latitude)) / EARTH_RADIUS_KM
