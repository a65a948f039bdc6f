"""Many physics on a published protocol: how good are forecasts of new environments, and how long does adaptation take?

`protocol` is ttg, coda, zebra or enma. Every row has its task, split, library of candidate terms and what that knows,
iterations of adaptation, horizon, score, reconstruction floor and seconds; `summary` has means and ranges over seeds.
Rows that the JSON holds of other tasks, libraries and seeds stay with `--add`.
"""

import json
from pathlib import Path
from typing import Any

from harness import parser, prepare, report
from realdata import work_folder

from dino.experiments.physics_protocols import Protocol
from dino.experiments.physics_table import PROTOCOLS, averaged, score_protocol


def kept(path: Path | None, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Earlier rows of other tasks, libraries and seeds, and the commands that made them."""
    if path is None or not path.exists():
        return {"rows": [], "commands": []}
    earlier = json.loads(path.read_text())["results"]
    new = {_of(row) for row in rows}
    others = [row for row in earlier["rows"] if _of(row) not in new]
    return {"rows": others, "commands": earlier["commands"]}


def _of(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["task"], row["library"], row["seed"]


def published_of(protocol: Protocol) -> dict[str, list[str]]:
    """Numbers of others by task and split."""
    splits = ((task, split) for task in protocol.tasks for split in task.splits)
    return {
        f"{task.name}: {split.name}": [
            f"{each.value:g} {each.who} [{each.tag}] {each.note}".strip() for each in split.published
        ]
        for task, split in splits
    }


def main() -> None:
    """Simulate, learn, adapt, score and report."""
    options = parser(__doc__ or "")
    options.add_argument("protocol", choices=sorted(PROTOCOLS))
    options.add_argument("--seeds", type=int, nargs="+", default=[0])
    options.add_argument("--only", nargs="*", default=[], help="tasks by name")
    options.add_argument("--libraries", nargs="*", default=[], help="by name, all when absent")
    options.add_argument("--iterations", type=int, nargs="*", default=[], help="of adaptation, other than as declared")
    options.add_argument("--full", action="store_true", help="counts as published")
    options.add_argument("--add", action="store_true", help="keep the JSON's other rows")
    options.add_argument("--work", type=Path, help="folder that keeps simulations")
    arguments = options.parse_args()
    prepare(arguments)
    protocol = PROTOCOLS[arguments.protocol]
    with work_folder(arguments.work) as folder:
        rows = score_protocol(
            protocol,
            folder,
            arguments.seeds,
            full=arguments.full,
            only=arguments.only,
            libraries=arguments.libraries,
            iterations=arguments.iterations,
            told=print,
        )
    earlier = kept(arguments.json if arguments.add else None, rows)
    order = {name: number for number, name in enumerate(protocol.names)}
    rows = sorted([*earlier["rows"], *rows], key=lambda row: (order[row["task"]], row["seed"]))
    about = {"protocol": protocol.source, "declared": protocol.declared, "full": arguments.full}
    seeds = " ".join(map(str, arguments.seeds))
    only = ["--only", *(repr(name) for name in arguments.only)] if arguments.only else []
    some = ["--libraries", *(repr(name) for name in arguments.libraries)] if arguments.libraries else []
    few = ["--iterations", *map(str, arguments.iterations)] if arguments.iterations else []
    command = " ".join([protocol.name, *only, *some, *few, f"--seeds {seeds}"])
    commands = [*earlier["commands"], command]
    arguments.seeds = sorted({row["seed"] for row in rows})
    made = {"summary": averaged(rows), "rows": rows, "commands": commands}
    report(arguments, {**about, "published": published_of(protocol), **made})


if __name__ == "__main__":
    main()
