"""Many physics on a published protocol: how good are forecasts of new environments, and how long does adaptation take?

`protocol` is ttg, coda, zebra or enma. Every row has its task, split, library of candidate terms and what that knows,
iterations of adaptation, horizon, score, reconstruction floor and seconds; `summary` has means and ranges over seeds.
"""

from pathlib import Path

from harness import parser, prepare, report
from realdata import work_folder

from dino.experiments.physics_table import PROTOCOLS, averaged, published, score_protocol


def main() -> None:
    """Simulate, learn, adapt, score and report."""
    options = parser(__doc__ or "")
    options.add_argument("protocol", choices=sorted(PROTOCOLS))
    options.add_argument("--seeds", type=int, nargs="+", default=[0])
    options.add_argument("--only", nargs="*", default=[], help="tasks by name")
    options.add_argument("--full", action="store_true", help="counts as published")
    options.add_argument("--work", type=Path, help="folder that keeps simulations")
    arguments = options.parse_args()
    prepare(arguments)
    protocol = PROTOCOLS[arguments.protocol]
    with work_folder(arguments.work) as folder:
        rows = score_protocol(
            protocol, folder, arguments.seeds, full=arguments.full, only=arguments.only, told=print
        )
    others = {
        f"{task.name}: {split.name}": [f"{each.value:g} {each.who} [{each.tag}] {each.note}".strip() for each in split.published]
        for task in protocol.tasks
        for split in task.splits
    }
    about = {"protocol": protocol.source, "declared": protocol.declared, "full": arguments.full}
    report(arguments, {**about, "published": others, "summary": averaged(rows), "rows": rows})


if __name__ == "__main__":
    main()
