"""Tables of many physics: scores of several seeds beside published numbers."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from rich.table import Table

from data_pipeline.system.progress import Progress, silent

from ..errors import ConfigError
from .physics_coda import CODA
from .physics_enma import ENMA
from .physics_protocols import Protocol, Published
from .physics_scores import Row, score_task
from .physics_ttg import TTG
from .physics_zebra import ZEBRA

PROTOCOLS = {protocol.name: protocol for protocol in (TTG, CODA, ZEBRA, ENMA)}
SAME = ("task", "split", "library", "iterations", "frames")
AVERAGED = ("value", "floor", "untrusted", "adapt_seconds", "rmsce", "crps", "covered_90")


def score_protocol(
    protocol: Protocol,
    stores: Path,
    seeds: Sequence[int] = (0,),
    *,
    full: bool = False,
    only: Sequence[str] = (),
    libraries: Sequence[str] = (),
    iterations: Sequence[int] = (),
    told: Callable[[str], None] = lambda line: None,
    report: Progress = silent,
) -> list[Row]:
    """Rows of all tasks, or of those named in `only`, and seeds; ConfigError for a name that is none.

    libraries : by name, all when empty; iterations : of adaptation, the protocol's when empty
    told : hears what is being done
    """
    unknown = sorted(set(only) - set(protocol.names))
    if unknown:
        raise ConfigError(f"{', '.join(unknown)} came where {protocol.name} has {', '.join(protocol.names)}")
    rows = []
    for each in protocol.tasks:
        chosen = tuple(library for library in each.libraries if not libraries or library.name in libraries)
        task = replace(each, libraries=chosen, iterations=tuple(iterations) or each.iterations)
        for seed in seeds if not only or task.name in only else ():
            told(f"{task.name}, seed {seed}")
            rows += score_task(task, stores, seed, full, report)
    return rows


def averaged(rows: Sequence[Row]) -> list[Row]:
    """One row for all seeds: means, and the range of the score; None where a seed has none."""
    made: dict[tuple, list[Row]] = {}
    for row in rows:
        made.setdefault(tuple(row.get(name) for name in SAME), []).append(row)
    return [_together(group) for group in made.values()]


def _together(group: Sequence[Row]) -> Row:
    names = [name for name in group[0] if name in AVERAGED or name.startswith("coefficient")]
    row = {name: group[0].get(name) for name in (*SAME, "metric", "knows", "terms", "failed")}
    for name in names:
        values = [each[name] for each in group if each.get(name) is not None]
        row[name] = fmean(values) if len(values) == len(group) else None
    scores = [float(each["value"]) for each in group if each.get("value") is not None]
    if len(scores) == len(group) > 1:
        row["range"] = [min(scores), max(scores)]
    return row | {"seeds": [each["seed"] for each in group]}


def published(protocol: Protocol, task: str, split: str | None) -> tuple[Published, ...]:
    """What others have on a split."""
    found = (each for part in protocol.tasks if part.name == task for each in part.splits if each.name == split)
    return next((each.published for each in found), ())


def table_of(protocol: Protocol, rows: Sequence[Row]) -> Table:
    """The averaged rows for people; what was put in stands with each, published numbers at the first of a split."""
    table = Table(title=protocol.source, caption=protocol.declared)
    for name in ("task", "tested on", "library"):
        table.add_column(name)
    for name in ("solves", "frames", "error", "range", "floor", "untrusted", "ms/env"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("published")
    seen = set()
    for row in averaged(rows):
        first = (row["task"], row["split"]) not in seen
        seen.add((row["task"], row["split"]))
        others = [f"{each.value:.2g} {each.who} [{each.tag}]{_note(each)}" for each in published(protocol, *_of(row))]
        table.add_row(*_cells(row), "; ".join(others) if first else "")
    return table


def calibration_table(rows: Sequence[Row]) -> Table | None:
    """Honesty of error bars, where a protocol asks for it."""
    asked = [row for row in averaged(rows) if "rmsce" in row]
    if not asked:
        return None
    covered = [name for name in asked[0] if name.startswith("coefficient")]
    table = Table(title="Error bars")
    for name in ("tested on", "library", "solves", "RMSCE", "CRPS", "in 90 %"):
        table.add_column(name)
    for name in covered:
        table.add_column(f"{name.rpartition('.')[2]} in 90 %", justify="right")
    for row in asked:
        numbers = [_number(row[name]) for name in ("rmsce", "crps")]
        shares = [_share(row.get(name)) for name in ("covered_90", *covered)]
        table.add_row(row["split"], row["library"], str(row["iterations"]), *numbers, *shares)
    return table


def _cells(row: Row) -> list[str]:
    about = [row["task"], row["split"] or "", f"{row['library']}: {row['knows']}"]
    if row["failed"]:
        return [*about, "", "", "none", "", "", "", ""]
    spread = "-".join(f"{each:.1e}" for each in row["range"]) if "range" in row else ""
    numbers = [str(row["iterations"]), str(row["frames"]), _number(row["value"]), spread, _number(row["floor"])]
    return [*about, *numbers, _share(row["untrusted"]), f"{1e3 * row['adapt_seconds']:.1f}"]


def _of(row: Row) -> tuple[str, str | None]:
    return row["task"], row["split"]


def _note(each: Published) -> str:
    return f" ({each.note})" if each.note else ""


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.1e}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"
