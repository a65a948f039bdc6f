"""dino-data ingest: files of a product into a store."""

import glob
import json
import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import dask.config
import typer
import xarray as xr

from data_pipeline.archive.appending import append as append_to_archive
from data_pipeline.archive.appending import ingestion_notes, unseen
from data_pipeline.commands.options import Scheduler
from data_pipeline.errors import ConfigError, MissingFileError, NothingNewError, NoValueError
from data_pipeline.layout.datasets import channel_names
from data_pipeline.products import PRODUCTS
from data_pipeline.products import ingest as read_files
from data_pipeline.products.files import expand
from data_pipeline.stores.writing import write_store
from data_pipeline.system.exit_codes import ExitCode
from data_pipeline.system.progress import reported
from data_pipeline.system.scheduler import connected
from data_pipeline.system.settings import refuse_existing
from data_pipeline.system.voice import tell

PARALLEL_BYTES = 128 * 2**20


def ingest(
    files: Annotated[list[str], typer.Argument(help="Files of one product, or patterns in quotes.")],
    out: Annotated[Path | None, typer.Option(help="The store to write; stores/<name of the first file>.zarr.")] = None,
    product: Annotated[
        str | None, typer.Option(help=f"Instead of finding it from the content: {', '.join(PRODUCTS)}.")
    ] = None,
    channels: Annotated[str | None, typer.Option(help="Channels to keep, e.g. adt,sla.")] = None,
    units: Annotated[
        list[str] | None,
        typer.Option(help="Units of a channel or position, e.g. adt=m or longitude=degrees_east; repeatable."),
    ] = None,
    variable: Annotated[
        list[str] | None, typer.Option(help="The variable that holds a channel, e.g. sla=sla_filtered; repeatable.")
    ] = None,
    time: Annotated[str | None, typer.Option(help="When a map or swath is, for a file without time.")] = None,
    columns: Annotated[str | None, typer.Option(help="Columns of a text table: longitude,latitude,time,adt.")] = None,
    time_units: Annotated[str | None, typer.Option(help="Units of numbers of time: days since 1950-01-01.")] = None,
    depth: Annotated[
        float | None, typer.Option(help="Depth of the level to take, in metres; the surface when absent.")
    ] = None,
    layout: Annotated[
        str | None, typer.Option("--as", help="Read maps as points, or pixels as maps: points or maps.")
    ] = None,
    keep_flagged: Annotated[bool, typer.Option(help="Keep values that flags of the product condemn.")] = False,
    strict: Annotated[bool, typer.Option(help="Stop at the first bad file instead of leaving it out.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that read files; one, or a core each for more than 128 MiB.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the store where there is one.")] = False,
    append: Annotated[bool, typer.Option(help="Add points to the archive at --out; what it has is left out.")] = False,
    scheduler: Scheduler = None,
) -> None:
    """Read files of a product and write a store: maps become a field store, points an observation store.

    What was dropped and why is printed and kept in the store. A bad file among several is told and left out, and the
    command exits with 1. Patterns that match no file, and files that an archive has already, are nothing new: the
    command exits with 3.

    Example: dino-data ingest "tracks/*.dat" --out stores/tracks.zarr
    """
    options = {
        "channels": _listed(channels),
        "units": _pairs(units, "--units"),
        "variables": _pairs(variable, "--variable"),
        "time": time,
        "columns": _listed(columns),
        "time_units": time_units,
        "depth": depth,
        "layout": layout,
        "keep_flagged": keep_flagged,
        "strict": strict,
        "keep_repeats": append,
    }
    if scheduler is not None and workers is not None:
        raise ConfigError("--workers are processes here and --scheduler has workers of its own; give one of the two")
    if append:
        out = _archive(out, overwrite)
    else:
        out = out or Path("stores") / f"{Path(files[0].replace('*', '').replace('?', '')).stem or 'store'}.zarr"
        refuse_existing(out, overwrite)
    paths = _found(files)
    with connected(scheduler):
        known = unseen(paths, out) if append else dict.fromkeys(paths)
        if not known:
            raise NothingNewError(f"{out} has the content of all these files already; nothing was changed")
        with _processes(1 if scheduler else workers or _suited_workers(list(known))):
            ds = _read(known, product, options, out)
        for note in ingestion_notes(ds):
            typer.echo(f"note: {note}", err=True)
        _stored(ds, out, append, overwrite)
    if left_out := json.loads(ds.attrs.get("left_out", "[]")):
        tell("error", "error", f"{len(left_out)} bad files are not in it; see the notes", left_out=left_out)
        raise typer.Exit(ExitCode.FAULT)


def _found(files: list[str]) -> list[Path]:
    """The files that are named; NothingNewError where all names are patterns and none of them matches."""
    try:
        return expand(files)
    except MissingFileError as error:
        if all(not Path(name).exists() and glob.has_magic(name) and not glob.glob(name) for name in files):
            raise NothingNewError(f"no file matches {', '.join(files)} yet; nothing was changed") from error
        raise


def _read(
    known: dict[Path, dict[str, Any] | None], product: str | None, options: dict[str, Any], out: Path
) -> xr.Dataset:
    """The files as one dataset; NothingNewError where an archive is to grow by sound files without a valid value."""
    try:
        return read_files(known, product, **options, provenances=known)
    except NoValueError as error:
        if not options["keep_repeats"]:
            raise
        for note in error.left_out:
            typer.echo(f"note: {note}", err=True)
        if error.left_out:
            typer.echo(f"{error}; {out} was not changed", err=True)
            bad = f"{len(error.left_out)} bad files are not in it; see the notes"
            tell("error", "error", bad, left_out=list(error.left_out))
            raise typer.Exit(ExitCode.FAULT) from error
        raise NothingNewError(f"{error}; {out} was not changed") from error


def _stored(ds: xr.Dataset, out: Path, append: bool, overwrite: bool) -> None:
    """Write the store, or append to the archive, and say what was written."""
    if append:
        commit = append_to_archive(ds, out)
        if commit is None:
            raise NothingNewError(f"{out} has all of this already; nothing was changed")
        typer.echo(f"{out}: commit {commit.number}, {commit.summary()}")
        return
    with reported("writing") as progress:
        write_store(ds, out, overwrite=overwrite, progress=progress)
    sizes = ", ".join(f"{size} {dim}" for dim, size in ds.sizes.items() if dim not in ("day_edge", "source_index"))
    typer.echo(f"wrote {out}: {ds.attrs['product']}, {', '.join(channel_names(ds))}, {sizes}")


def _suited_workers(paths: list[Path]) -> int:
    """Starting a process takes seconds, which only many bytes are worth."""
    large = len(paths) > 1 and sum(path.stat().st_size for path in paths) > PARALLEL_BYTES
    return min(len(paths), os.cpu_count() or 1) if large else 1


def _processes(workers: int) -> AbstractContextManager[Any]:
    """Dask set to `workers` processes, or left as it is for one."""
    return dask.config.set(scheduler="processes", num_workers=workers) if workers > 1 else nullcontext()


def _archive(out: Path | None, overwrite: bool) -> Path:
    if out is None or overwrite:
        raise ConfigError(
            "--append adds to the archive named by --out and replaces nothing; give --out, no --overwrite"
        )
    return out


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _pairs(texts: list[str] | None, option: str) -> dict[str, str]:
    pairs = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ConfigError(f"{option} {text!r} is not of the form channel=value; write it like {option} adt=m")
        pairs[name.strip()] = value.strip()
    return pairs
