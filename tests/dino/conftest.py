"""Toy oceans and small configurations: travelling waves on 16 x 16 points, known in closed form."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from data_pipeline.layout.datasets import fields_dataset, observations_dataset
from data_pipeline.stores.writing import write_store
from dino.config import AssimilationConfig, Config, DecoderConfig, DynamicsConfig
from dino.data.observations import Observations, datetime_of
from dino.dynamics import integrate
from dino.experiments.train import train
from dino.forecaster import Forecaster
from dino.model import ChannelSpec, LatentModel, LatentSpec, Ocean
from dino.space.cover import Cover
from dino.space.domain import Region
from dino.space.gridmap import GridMap

LENGTH_KM = 800.0


def waves(trajectories: int, days: int, cells: int, seed: int = 0) -> np.ndarray:
    """(trajectory, day, y, x) sums of six waves that travel east, periodic on the box."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(np.arange(cells) / cells, np.arange(cells) / cells, indexing="ij")
    day = np.arange(days)[:, None, None]
    fields = np.zeros((trajectories, days, cells, cells))
    for trajectory in range(trajectories):
        for k, l in ((1, 0), (0, 1), (1, 1), (1, -1), (2, 0), (2, 1)):  # noqa: E741
            phase = 2 * np.pi * (k * x + l * y - 0.03 * k * day + rng.random())
            fields[trajectory] += rng.normal() * 0.1 * np.cos(phase) / (k * k + l * l)
    return fields


def make_box(trajectories: int = 8, days: int = 14, cells: int = 16) -> xr.Dataset:
    """A periodic simulation about 60 W, 38 N."""
    degrees = np.rad2deg((np.arange(cells) / cells - 0.5) * LENGTH_KM / 6371.0)
    time = np.datetime64("2000-01-01", "ns") + np.arange(days) * np.timedelta64(1, "D")
    attrs = {
        "product": "toy waves",
        "periodic_length_km": [LENGTH_KM, LENGTH_KM],
        "reference_longitude": -60.0,
        "reference_latitude": 38.0,
    }
    longitude = -60.0 + degrees / np.cos(np.deg2rad(38.0))
    return fields_dataset(time, longitude, 38.0 + degrees, {"ssh": waves(trajectories, days, cells)}, attrs=attrs)


def make_sea(days: int = 30, west: float = 2.0, land: bool = True) -> xr.Dataset:
    """A sea of 16 x 16 cells of a quarter degree from `west`, with a corner of land."""
    values = waves(1, days, 16, seed=3)[0] + 0.4
    if land:
        values[:, :4, :4] = np.nan
    time = np.datetime64("2005-04-01", "ns") + np.arange(days) * np.timedelta64(1, "D")
    axis = np.arange(16) * 0.25 + 0.125
    return fields_dataset(time, west + axis, 36.0 + axis, {"adt": values}, attrs={"product": "toy sea"})


def make_currents(days: int = 24) -> xr.Dataset:
    """Two channels, u and v, on the toy sea without land."""
    sea = make_sea(days, land=False)
    values = {"u": sea["adt"].values, "v": waves(1, days, 16, seed=8)[0]}
    axes = (sea["time"].values, sea["longitude"].values, sea["latitude"].values)
    return fields_dataset(*axes, values, attrs={"product": "toy currents"})


def scatter(
    fields: xr.Dataset, channels: list[str], count: int, seed: int = 0, error: float | None = 0.01
) -> xr.Dataset:
    """Values of `count` random ocean cells and times."""
    rng = np.random.default_rng(seed)
    known = np.argwhere(np.isfinite(fields[channels[0]].values))
    time, row, column = known[np.sort(rng.choice(len(known), count, replace=False))].T
    values = {name: fields[name].values[time, row, column] for name in channels}
    errors = None if error is None else {name: np.full(count, error) for name in channels}
    longitude, latitude = fields["longitude"].values[column], fields["latitude"].values[row]
    return observations_dataset(fields["time"].values[time], longitude, latitude, values, errors)


@pytest.fixture(scope="session")
def box_dataset() -> Callable[..., xr.Dataset]:
    """box_dataset(trajectories, days, cells): a periodic simulation."""
    return make_box


@pytest.fixture(scope="session")
def sea_dataset() -> Callable[..., xr.Dataset]:
    """sea_dataset(days, west, land): a small sea."""
    return make_sea


@pytest.fixture(scope="session")
def box_store(tmp_path_factory) -> Path:
    """Eight trajectories of fourteen days on a periodic box."""
    return write_store(make_box(), tmp_path_factory.mktemp("stores") / "box.zarr")


@pytest.fixture(scope="session")
def sea_store(tmp_path_factory) -> Path:
    """One month of a small sea with land."""
    return write_store(make_sea(), tmp_path_factory.mktemp("stores") / "sea.zarr")


def small_settings(store: Path, channel: str, **sections: dict) -> dict:
    """Settings of a run of seconds."""
    settings = {
        "data": {"stores": [{"path": str(store)}], "channels": [channel], "validation_days": 6},
        "decoder": {"code_size": 8, "hidden": 16, "layers": 2},
        "field": {"steps": 12, "frames_per_step": 16, "groups_per_step": 4, "prior_rounds": 1},
        "dynamics": {
            "lags": 3,
            "hidden": 16,
            "depth": 2,
            "steps": 12,
            "horizons": [1, 3],
            "segments_per_step": 32,
            "patience": 99,
        },
    }
    for name, section in sections.items():
        settings[name] = settings.get(name, {}) | section
    return settings


@pytest.fixture(scope="session")
def box_config(box_store) -> Config:
    """Trains on the periodic box in well under a second."""
    return Config.model_validate(small_settings(box_store, "ssh"))


@pytest.fixture(scope="session")
def sea_config(sea_store) -> Config:
    """Trains on tiles of the toy sea."""
    return Config.model_validate(small_settings(sea_store, "adt", domain={"kind": "tiles", "tile_degrees": 2.0}))


@pytest.fixture
def randomly() -> Callable[..., torch.Tensor]:
    """Reproducible normal numbers of a shape, in float64."""
    generator = torch.Generator().manual_seed(11)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)


def finished_run(config: Config, folder: Path) -> Path:
    """A run folder, trained on one thread so that it does not depend on the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train(config, folder, lambda *told: None)
    finally:
        torch.set_num_threads(threads)
    return folder


@pytest.fixture(scope="session")
def box_run(box_config, tmp_path_factory) -> Path:
    """A finished run on the periodic box."""
    return finished_run(box_config, tmp_path_factory.mktemp("finished") / "box")


@pytest.fixture(scope="session")
def sea_run(sea_config, tmp_path_factory) -> Path:
    """A finished run on tiles of the toy sea."""
    return finished_run(sea_config, tmp_path_factory.mktemp("finished") / "sea")


@pytest.fixture(scope="session")
def current_run(tmp_path_factory) -> Path:
    """A finished run of two channels, u and v, on one region."""
    folder = tmp_path_factory.mktemp("finished")
    store = write_store(make_currents(), folder / "currents.zarr")
    settings = small_settings(store, "u", domain={"kind": "region"})
    settings["data"]["channels"] = ["u", "v"]
    return finished_run(Config.model_validate(settings), folder / "currents")


@pytest.fixture(scope="session")
def scattered() -> Callable[..., xr.Dataset]:
    """scattered(fields, channels, count, seed, error): observations of random cells of daily maps, in store layout."""
    return scatter


class Twin:
    """An untrained model of a small region with linear dynamics, in float64, and an ocean that obeys it exactly.

    The ocean begins at day `start` as a draw from the model's population; no process noise unless a test sets it.
    """

    start = 20000.0
    spread = 0.1

    def __init__(self, code: int = 6) -> None:
        torch.manual_seed(5)
        spec = LatentSpec(
            input_size=2,
            channels=1,
            decoder=DecoderConfig(code_size=code, hidden=16, layers=2, scale=4.0),
            dynamics=DynamicsConfig(order=2, depth=0, lags=1, step_days=0.25),
            interval_days=1.0,
            noise_variance=0.01,
            data_digest="twin",
        )
        axis = np.linspace(0.0, 10.0, 4)
        self.latent = LatentModel(spec).double().eval()
        self.latent.requires_grad_(False)
        self.latent.dynamics.linear.normal_(0, 0.2)
        channels = (ChannelSpec(name="adt", units="m", spread=self.spread),)
        cover = Cover((Region.from_bounds(0.0, 10.0, 30.0, 40.0),), np.ones(1), tiled=False)
        self.ocean = Ocean(channels, cover, GridMap(axis, 30.0 + axis, np.zeros((1, 4, 4))))
        # Fields of a standard deviation of about one spread.
        grid = np.random.default_rng(0).uniform(0, 10, (2, 500))
        modes = self.basis(grid[0], 30.0 + grid[1]).modes
        scale = float(modes.square().sum(-1).mean().rsqrt())
        variance = scale**2 * torch.tensor([1.0, 0.04], dtype=torch.float64).repeat_interleave(code)
        self.latent.state_covariance.copy_(torch.diag(variance))
        draw = torch.randn(2 * code, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        self.state = self.latent.state_covariance.sqrt() @ draw

    def forecaster(self, **assimilation) -> Forecaster:
        """A forecaster of the model over its ocean, with settings of the assimilation."""
        return Forecaster(self.latent, self.ocean, AssimilationConfig(**assimilation))

    def basis(self, longitude: np.ndarray, latitude: np.ndarray):
        """The modes at points (n,)."""
        coordinates = self.ocean.cover.charts[0].coordinates(longitude, latitude)
        return self.latent.decoder.basis(torch.as_tensor(coordinates))

    def field(self, time: np.ndarray, longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
        """The ocean's true values [m] at points (n,) of any times [days since 1950-01-01]."""
        moments, back = np.unique(time, return_inverse=True)
        days = torch.as_tensor(moments - self.start)
        codes = integrate(self.latent.dynamics.bind(), self.state, days, step=0.25)[:, : self.latent.dynamics.code_size]
        basis = self.basis(longitude, latitude)
        value = basis.offset[:, 0] + (basis.modes[:, 0] * codes[torch.as_tensor(back)]).sum(-1)
        return value.numpy() * self.spread

    def observed(
        self, count: int, days: float, every: float = 0.0, error: float = 0.02, seed: int = 0, first: float = 0.0
    ) -> Observations:
        """Noisy points of three missions between days `first` and `days`, at multiples of `every` where it is given."""
        rng = np.random.default_rng(seed)
        time = rng.uniform(first, days, count)
        if every:
            time = first + every + every * np.floor((time - first) / every)
        time = np.sort(self.start + time)
        longitude, latitude = rng.uniform(0.1, 9.9, count), rng.uniform(30.1, 39.9, count)
        values = self.field(time, longitude, latitude) + error * rng.normal(size=count)
        source = rng.integers(0, 3, count)
        errors = np.full((count, 1), error)
        names = ("alpha", "beta", "gamma")
        return Observations(time, longitude, latitude, values[:, None], errors, source, ("adt",), names)

    @staticmethod
    def table(observations: Observations) -> xr.Dataset:
        """The same in the layout of a store, unsorted and unindexed as any program may make it."""
        columns = {
            "adt": ("obs", observations.values[:, 0], {"units": "m"}),
            "adt_error": ("obs", observations.error[:, 0]),
            "source": ("obs", observations.source),
        }
        coords = {
            "time": ("obs", datetime_of(observations.time)),
            "longitude": ("obs", observations.longitude),
            "latitude": ("obs", observations.latitude),
            "source_name": ("source_index", np.array(observations.sources, dtype=object)),
        }
        return xr.Dataset(columns, coords)


@pytest.fixture(scope="session")
def make_twin() -> Callable[..., Twin]:
    """make_twin(code): a model with a perfect ocean; a test may change its own."""
    return Twin
