"""`dino benchmark`: comparisons that a user can repeat with a run, an ocean and settings of their own."""

import json
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from data_pipeline.stores.writing import open_store
from data_pipeline.system.progress import reported
from data_pipeline.system.settings import load_settings

from ..config import Config, EvaluationConfig
from ..data.observations import Observations, day_of
from ..errors import ConfigError
from ..evaluation.evaluate import evaluate_observations
from ..evaluation.report import write_report
from ..experiments.demo import FAR, QUICK, QUICK_SETTINGS, DemoSizes, make_oceans
from ..experiments.shipped import find_experiment
from ..experiments.train import train
from ..forecaster import Forecaster
from ..model.checkpoint import load_run_config
from ..transfer import STRATEGIES, strategy
from ..transfer.comparison import Row, Trial, compare, summary, trials
from .common import Overrides, console, one_trajectory, open_kind
from .demo import filled

benchmark = typer.Typer(help="Comparisons on oceans of the demo, or on yours.", no_args_is_help=True)


@benchmark.callback()
def _group() -> None:
    """Keeps `transfer` a subcommand although it is alone."""


@benchmark.command()
def transfer(
    out: Annotated[Path, typer.Argument(help="Folder for stores, runs, scores and figures.")],
    run: Annotated[Path | None, typer.Option(help="A run to adapt; the demo's oceans are made when absent.")] = None,
    observations: Annotated[Path | None, typer.Option(help="With --run: what was observed of the real ocean.")] = None,
    truth: Annotated[Path | None, typer.Option(help="With --run: its maps, to score against.")] = None,
    strategies: Annotated[str, typer.Option(help="Which, separated by commas.")] = ",".join(STRATEGIES),
    days: Annotated[str, typer.Option(help="Numbers of real days that transfer sees.")] = "1,2,5,10,20,50",
    shares: Annotated[str, typer.Option(help="Shares of their points that it sees.")] = "0.005,0.02,0.1,0.3,1",
    seeds: Annotated[str, typer.Option(help="Seeds of the oceans, of training and of the points chosen.")] = "0",
    far: Annotated[bool, typer.Option("--far", help="An observed ocean that is less like the simulated ones.")] = False,
    config: Annotated[str, typer.Option(help="Experiment of the demo's oceans, by name or file.")] = "demo",
    quick: Annotated[bool, typer.Option("--quick", help="Tiny oceans, to see that everything runs.")] = False,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nothing writes to it
) -> None:
    """Compare transfer strategies: forecasts by lead, and against the real days and points that each of them saw.

    All forecasts start from the same observations, on days that no transfer saw. Finished trials are kept in
    OUT/transfer.json and not repeated. With --run set evaluation.start to the first day scored.

    Example: dino benchmark transfer runs/strategies --seeds 0,1
    """
    names = [name.strip() for name in strategies.split(",")]
    for name in names:
        strategy(name)
    todo = trials(names, _numbers(days, "days"), _numbers(shares, "shares"), [int(s) for s in _numbers(seeds, "seeds")])
    if run is not None:
        if observations is None or truth is None:
            raise ConfigError("--run wants --observations and --truth: what was seen, and maps to score against")
        ocean = _Given(run, observations, truth, overrides)
    else:
        ocean = _Simulated(out, find_experiment(config), quick, far, overrides)
    path = out / "transfer.json"
    rows: list[Row] = json.loads(path.read_text())["scores"] if path.is_file() else []
    known = {(row["strategy"], row["days"], row["share"], row["seed"]) for row in rows}
    left = [t for t in todo if (t.strategy, t.days, t.share, t.seed) not in known]
    with reported("strategies") as report:
        for done, made in enumerate(_compared(left, ocean)):
            rows += made
            write_report(path, rows)
            report(done + 1, len(left))
    from ..plotting.transfer import plot_few_shot, plot_strategies

    plot_strategies(rows, out / "figures" / "strategies.png")
    plot_few_shot(rows, out / "figures" / "few_shot.png")
    console().print(_table(rows))
    console().print(f"scores in {path}, figures in {out / 'figures'}")


class _Given:
    """A run and an ocean of the user's."""

    def __init__(self, run: Path, observations: Path, truth: Path, overrides: list[str]) -> None:
        self.settings = load_run_config(run, overrides)
        if self.settings.evaluation.start is None:
            raise ConfigError("evaluation.start is not set; give the first day scored, as --set evaluation.start=DATE")
        self.run, self.paths = run, (truth, observations)

    def config(self, seed: int) -> Config:
        return self.settings.model_copy(update={"seed": seed})

    def fresh(self, seed: int) -> Forecaster:
        return Forecaster(Forecaster.load(self.run).model, self.settings.assimilation)

    def stores(self, seed: int) -> tuple[Path, Path]:
        return self.paths


class _Simulated:
    """The demo's oceans and a run trained on the simulated ones, one set a seed; what is there is used again."""

    def __init__(self, out: Path, config: Path, quick: bool, far: bool, overrides: list[str]) -> None:
        self.out = out
        self.sizes = QUICK if quick else FAR if far else DemoSizes()
        self.settings = load_settings(Config, config, [*(QUICK_SETTINGS if quick else []), *overrides])

    def _folder(self, seed: int) -> Path:
        return self.out / f"seed-{seed}"

    @cache  # noqa: B019 - lives as long as the command
    def config(self, seed: int) -> Config:
        folder = self._folder(seed)
        model_store = folder / "model_ocean.zarr"
        if not (folder / "observations.zarr").exists():  # written last
            folder.mkdir(parents=True, exist_ok=True)
            with reported("simulating") as report:
                make_oceans(folder, self.sizes, seed, report)
        settings = filled(self.settings, model_store, self.sizes, seed)
        if not (folder / "run" / "model.json").exists():
            with reported("training") as report:
                train(settings, folder / "run", report, resume=(folder / "run" / "state.pt").exists())
        return settings

    def fresh(self, seed: int) -> Forecaster:
        return Forecaster(Forecaster.load(self._folder(seed) / "run").model, self.config(seed).assimilation)

    def stores(self, seed: int) -> tuple[Path, Path]:
        return self._folder(seed) / "real_ocean.zarr", self._folder(seed) / "observations.zarr"


def _compared(todo: list[Trial], ocean: _Given | _Simulated):
    """Rows trial by trial; what a seed needs is made or read once."""

    @cache
    def observations(seed: int) -> Observations:
        names = ocean.fresh(seed).model.spec.names
        return Observations.from_dataset(open_kind(ocean.stores(seed)[1], "observations"), names)

    @cache
    def score(seed: int):
        real, seen = ocean.stores(seed)
        return _scorer(real, seen, ocean.config(seed).evaluation)

    if todo:
        start = ocean.config(todo[0].seed).evaluation.start
        assert start is not None
        yield from compare(todo, ocean.fresh, observations, score, ocean.config, day_of(start))


def _scorer(truth: Path, observations: Path, evaluation: EvaluationConfig):
    fields = one_trajectory(open_kind(truth, "fields"), 0).load()
    seen = open_store(observations).load()

    def score(forecaster: Forecaster) -> list[dict[str, Any]]:
        silent = lambda *told: None  # noqa: E731
        found = evaluate_observations(forecaster, fields, seen, evaluation, None, None, silent)
        kept = ("channel", "lead_days", "rmse", "units")
        return [{name: row[name] for name in kept} for row in found.rows if row["method"] == "dino"]

    return score


def _numbers(text: str, name: str) -> list[float]:
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"--{name} {text!r} is no list of numbers; write them as 1,2,5") from error
    if not found or min(found) < 0 or (name == "shares" and not 0 < min(found) <= max(found) <= 1):
        raise ConfigError(f"--{name} {text!r}: numbers above zero are wanted, and shares not above one")
    return found


def _table(rows: list[Row]) -> Table:
    """RMSE over that of `none` by strategy and lead, for transfer on everything."""
    most = {"days": max(r["days"] for r in rows), "share": max(r["share"] for r in rows)}
    found = summary(rows, **most)
    leads = sorted({lead for by_lead in found.values() for lead in by_lead})
    table = Table(title="RMSE after transfer over RMSE without, by lead [days]")
    table.add_column("strategy")
    for lead in leads:
        table.add_column(f"{lead:g}", justify="right")
    for name, by_lead in found.items():
        table.add_row(name, *(f"{by_lead[lead]:.3f}" if lead in by_lead else "-" for lead in leads))
    return table
