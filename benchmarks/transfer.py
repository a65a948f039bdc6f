"""Transfer strategies compared on the demo's oceans, or with a run and an ocean of yours, kept as JSON.

The same as `dino benchmark transfer`. A ratio is RMSE over that of the run as it came. Trials that a work folder holds
already are not repeated.
"""

from pathlib import Path

from harness import parser, prepare, report
from realdata import work_folder

from dino.commands.benchmark import transfer
from dino.evaluation.report import read_report
from dino.transfer import STRATEGIES
from dino.transfer.comparison import summary

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "demo.yaml"


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    options.add_argument("--seeds", type=int, nargs="+", default=[0])
    options.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    options.add_argument("--days", type=float, nargs="+", default=[1, 2, 5, 10, 20, 50])
    options.add_argument("--shares", type=float, nargs="+", default=[0.005, 0.05, 0.3, 1])
    options.add_argument("--far", action="store_true", help="an observed ocean less like the simulated ones")
    options.add_argument("--run", type=Path, help="a run to adapt, in place of the demo's oceans")
    options.add_argument("--observations", type=Path, help="with --run: what was observed")
    options.add_argument("--truth", type=Path, help="with --run: maps to score against")
    options.add_argument("--set", dest="overrides", nargs="*", default=[], metavar="KEY=VALUE", help="settings")
    options.add_argument("--work", type=Path, help="folder for oceans, runs and figures; a temporary one when absent")
    arguments = options.parse_args()
    prepare(arguments)
    days, shares = arguments.days, arguments.shares
    with work_folder(arguments.work) as work:
        transfer(
            out=work,
            run=arguments.run,
            observations=arguments.observations,
            truth=arguments.truth,
            strategies=",".join(arguments.strategies),
            days=_listed(days),
            shares=_listed(shares),
            seeds=_listed(arguments.seeds),
            far=arguments.far,
            config=CONFIG,
            overrides=arguments.overrides,
        )
        rows = read_report(work / "transfer.json")["scores"]
    most = max(days), max(shares)
    results = {
        "all_days_and_points": summary(rows, days=most[0], share=most[1]),
        "by_days": {f"{d:g}": summary(rows, days=d, share=most[1]) for d in sorted(set(days) - {most[0]})},
        "by_share": {f"{s:g}": summary(rows, days=most[0], share=s) for s in sorted(set(shares) - {most[1]})},
        "rows": rows,
    }
    report(arguments, results)


def _listed(numbers: list[float]) -> str:
    return ",".join(f"{number:g}" for number in numbers)


if __name__ == "__main__":
    main()
