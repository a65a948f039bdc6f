"""Transfer strategies compared on the demo's oceans, or with a run and an ocean of yours, kept as JSON.

Every strategy sees the last days before the scored ones, or a share of their points. All forecasts start from the same
observations, on days that no transfer saw. A ratio is RMSE over that of the run as it came. The work folder keeps
`transfer.json` and figures; trials that it holds already are not repeated.

    python benchmarks/transfer.py --work runs/strategies --seeds 0 1
    python benchmarks/transfer.py --work runs/strategies --run RUN --observations SEEN.zarr --truth MAPS.zarr \\
        --set evaluation.start=2005-05-20
"""

import argparse
import json
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from harness import parser, prepare, report
from realdata import work_folder
from strategies.comparison import Row, compare, in_turn, summary, trials
from strategies.figures import plot_few_shot, plot_strategies
from strategies.oceans import Given, Ocean, Simulated, observed, scorer
from strategies.way import KNOWS, way

from data_pipeline.system.progress import reported
from dino.data.observations import day_of
from dino.errors import ConfigError, DinoError
from dino.evaluation.report import write_report
from dino.transfer import STRATEGIES

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "demo-sea-level.yaml"


def options() -> argparse.ArgumentParser:
    """The command line."""
    made = parser(__doc__ or "")
    made.add_argument("--seeds", type=int, nargs="+", default=[0])
    made.add_argument(
        "--strategies", nargs="+", default=list(STRATEGIES), help="by name; `a+b` is b after a", metavar="NAME"
    )
    made.add_argument("--days", type=float, nargs="+", default=[1, 2, 5, 10, 20, 50], help="real days that it sees")
    made.add_argument(
        "--shares", type=float, nargs="+", default=[0.005, 0.05, 0.3, 1], help="of the points of all days"
    )
    made.add_argument("--far", action="store_true", help="an observed ocean less like the simulated ones")
    made.add_argument(
        "--way", action="store_true", help="how much of the way to the observed ocean's own simulation is closed"
    )
    made.add_argument("--knows", nargs="*", choices=KNOWS, default=list(KNOWS), help="with --way: layers of the 4D-Var")
    made.add_argument("--quick", action="store_true", help="tiny oceans, to see that everything runs")
    made.add_argument("--config", type=Path, default=CONFIG, help="experiment of the demo's oceans")
    made.add_argument("--run", type=Path, help="a run to adapt, in place of the demo's oceans")
    made.add_argument("--observations", type=Path, help="with --run: what was observed")
    made.add_argument("--truth", type=Path, help="with --run: maps to score against")
    made.add_argument("--set", dest="overrides", nargs="*", default=[], metavar="KEY=VALUE", help="settings")
    made.add_argument("--work", type=Path, help="folder for oceans, runs and figures; a temporary one when absent")
    return made


def compare_all(arguments: argparse.Namespace, work: Path) -> list[Row]:
    """The rows of every trial asked for and of those that the work folder holds; draws them as well."""
    if min(arguments.days) <= 0 or not 0 < min(arguments.shares) <= max(arguments.shares) <= 1:
        raise ConfigError("--days and --shares are numbers above zero, and shares not above one")
    if arguments.run is None:
        ocean: Ocean = Simulated(work, arguments.config, arguments.overrides, arguments.quick, arguments.far)
    elif arguments.observations is None or arguments.truth is None:
        raise ConfigError("--run wants --observations and --truth: what was seen, and maps to score against")
    else:
        ocean = Given(arguments.run, arguments.observations, arguments.truth, arguments.overrides)
    path = work / "transfer.json"
    rows: list[Row] = json.loads(path.read_text())["scores"] if path.is_file() else []
    known = {(row["strategy"], row["days"], row["share"], row["seed"]) for row in rows}
    todo = trials(arguments.strategies, arguments.days, arguments.shares, arguments.seeds)
    left = [t for t in todo if (t.strategy, t.days, t.share, t.seed) not in known]
    if left:
        start = ocean.config(left[0].seed).evaluation.start
        assert start is not None
        # A seed's observations are read once, and its scores share them.
        seen, score = cache(lambda seed: observed(ocean, seed)), cache(lambda seed: scorer(ocean, seed))
        with reported("strategies") as told:
            for done, made in enumerate(compare(left, ocean.fresh, seen, score, ocean.config, day_of(start))):
                rows += made
                write_report(path, rows)
                told(done + 1, len(left))
    plot_strategies(rows, work / "figures" / "strategies.png")
    plot_few_shot(rows, work / "figures" / "few_shot.png")
    return rows


def summaries(rows: list[Row], days: Sequence[float], shares: Sequence[float]) -> dict[str, Any]:
    """Mean ratios by strategy and lead: with everything seen, by days, and by share of the points of all days."""
    most = max(days), max(shares)
    return {
        "all_days_and_points": summary(rows, days=most[0], share=most[1]),
        "by_days": {f"{d:g}": summary(rows, days=d, share=most[1]) for d in sorted(set(days) - {most[0]})},
        "by_share": {f"{s:g}": summary(rows, days=most[0], share=s) for s in sorted(set(shares) - {most[1]})},
        "rows": rows,
    }


def ways(arguments: argparse.Namespace, work: Path) -> dict[str, Any]:
    """How much of the way each strategy closes, by seed; `none` is the run as it came."""
    if arguments.run is not None:
        raise ConfigError("--way simulates the observed ocean, which a --run does not tell; leave one of them out")
    ocean = Simulated(work, arguments.config, arguments.overrides, arguments.quick, arguments.far)
    names = ["none", *(name for name in arguments.strategies if name != "none")]
    return {f"seed_{seed}": way(ocean, names, max(arguments.days), seed, arguments.knows) for seed in arguments.seeds}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and report; what a user got wrong ends in one line and exit code 2, as the commands do."""
    given = options().parse_args(arguments)
    prepare(given)
    try:
        for name in given.strategies:
            in_turn(name)
        with work_folder(given.work) as work:
            results = ways(given, work) if given.way else summaries(compare_all(given, work), given.days, given.shares)
    except DinoError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    report(given, results)


if __name__ == "__main__":
    main()
