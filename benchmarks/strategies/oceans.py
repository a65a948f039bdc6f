"""What a comparison of strategies runs on: a run and an ocean of the user's, or the demo's oceans made for it."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from data_pipeline.stores.writing import open_store
from data_pipeline.system.progress import reported
from data_pipeline.system.settings import load_settings
from dino.commands.common import one_trajectory, open_kind
from dino.commands.demo import filled
from dino.config import Config
from dino.data.observations import Observations
from dino.errors import ConfigError
from dino.evaluation.evaluate import evaluate_observations
from dino.experiments.demo import FAR, FULL, QUICK, QUICK_SETTINGS, make_oceans
from dino.experiments.train import train
from dino.forecaster import Forecaster
from dino.model.checkpoint import load_model, load_run_config

from .comparison import Row, Score


class Ocean(Protocol):
    """One run and one observed ocean a seed."""

    def config(self, seed: int) -> Config:
        """Settings of transfer, analysis and evaluation."""
        ...

    def fresh(self, seed: int) -> Forecaster:
        """The run before any transfer, a new copy at every call."""
        ...

    def stores(self, seed: int) -> tuple[Path, Path]:
        """Maps of the observed ocean to score against, and its observations."""
        ...


class Given:
    """A run and an ocean of the user's, the same for every seed."""

    def __init__(self, run: Path, observations: Path, truth: Path, overrides: Sequence[str]) -> None:
        self.settings = load_run_config(run, list(overrides))
        if self.settings.evaluation.start is None:
            raise ConfigError("evaluation.start is not set; give the first day scored, as --set evaluation.start=DATE")
        self.run, self.paths = run, (truth, observations)

    def config(self, seed: int) -> Config:
        """The run's settings with this seed."""
        return self.settings.model_copy(update={"seed": seed})

    def fresh(self, seed: int) -> Forecaster:
        """The run as it is on disk."""
        return Forecaster(*load_model(self.run), self.settings.assimilation)

    def stores(self, seed: int) -> tuple[Path, Path]:
        """The two stores given."""
        return self.paths


class Simulated:
    """The demo's oceans and a run trained on the simulated ones, one set a seed; what is there is used again."""

    def __init__(self, out: Path, config: Path, overrides: Sequence[str], quick: bool = False, far: bool = False):
        self.out = out
        self.sizes = QUICK if quick else FAR if far else FULL
        self.settings = load_settings(Config, config, [*(QUICK_SETTINGS if quick else []), *overrides])

    def folder(self, seed: int) -> Path:
        """Where a seed's oceans and runs lie."""
        return self.out / f"seed-{seed}"

    @cache  # noqa: B019 - lives as long as the script
    def config(self, seed: int) -> Config:
        """The demo's settings; makes the oceans and trains the run when they are not there yet."""
        folder = self.folder(seed)
        if not (folder / "observations.zarr").exists():  # written last
            folder.mkdir(parents=True, exist_ok=True)
            with reported("simulating") as report:
                make_oceans(folder, self.sizes, seed, report)
        settings = filled(self.settings, folder / "model_ocean.zarr", self.sizes, seed)
        if not (folder / "run" / "model.json").exists():
            with reported("training") as report:
                train(settings, folder / "run", report, resume=(folder / "run" / "state.pt").exists())
        return settings

    def fresh(self, seed: int) -> Forecaster:
        """The run trained on the simulated oceans of this seed."""
        settings = self.config(seed)
        return Forecaster(*load_model(self.folder(seed) / "run"), settings.assimilation)

    def stores(self, seed: int) -> tuple[Path, Path]:
        """The other ocean's maps, and what satellites saw of it."""
        return self.folder(seed) / "real_ocean.zarr", self.folder(seed) / "observations.zarr"


def observed(ocean: Ocean, seed: int) -> Observations:
    """All observations of an ocean, of the channels that its run has."""
    names = ocean.fresh(seed).ocean.names
    return Observations.from_dataset(open_kind(ocean.stores(seed)[1], "observations"), names)


def scorer(ocean: Ocean, seed: int) -> Score:
    """score(forecaster): rows of RMSE by channel and lead, of forecasts from the ocean's observations."""
    truth, observations = ocean.stores(seed)
    fields = one_trajectory(open_kind(truth, "fields"), 0).load()
    seen = open_store(observations).load()
    evaluation = ocean.config(seed).evaluation

    def score(forecaster: Forecaster) -> list[Row]:
        silent = lambda *told: None  # noqa: E731
        found = evaluate_observations(forecaster, fields, seen, evaluation, None, None, silent)
        kept = ("channel", "lead_days", "rmse", "units")
        rows: list[dict[str, Any]] = [dict(row) for row in found.rows if row["method"] == "dino"]
        return [{name: row[name] for name in kept} for row in rows]

    return score
