"""dino-data ingest: files of a product into a store."""

from pathlib import Path
from typing import Annotated

import typer

from data_pipeline.archive.appending import append as append_to_archive
from data_pipeline.archive.appending import ingestion_notes, unseen
from data_pipeline.errors import ConfigError
from data_pipeline.products import PRODUCTS
from data_pipeline.products import ingest as read_files
from data_pipeline.products.files import expand
from data_pipeline.progress import reported
from data_pipeline.schema import channel_names
from data_pipeline.settings import refuse_existing
from data_pipeline.stores import write_store


def ingest(
    files: Annotated[list[str], typer.Argument(help="Files of one product, or patterns in quotes.")],
    out: Annotated[Path | None, typer.Option(help="The store to write; stores/<name of the first file>.zarr.")] = None,
    product: Annotated[
        str | None, typer.Option(help=f"Instead of finding it from the content: {', '.join(PRODUCTS)}.")
    ] = None,
    channels: Annotated[str | None, typer.Option(help="Channels to keep, e.g. adt,sla.")] = None,
    units: Annotated[list[str] | None, typer.Option(help="Units of a channel, e.g. adt=m; repeatable.")] = None,
    variable: Annotated[
        list[str] | None, typer.Option(help="The variable that holds a channel, e.g. sla=sla_filtered; repeatable.")
    ] = None,
    time: Annotated[str | None, typer.Option(help="When the map is, for a file without time.")] = None,
    columns: Annotated[str | None, typer.Option(help="Columns of a text table: longitude,latitude,time,adt.")] = None,
    time_units: Annotated[str | None, typer.Option(help="Units of numbers of time: days since 1950-01-01.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the store where there is one.")] = False,
    append: Annotated[bool, typer.Option(help="Add points to the archive at --out; what it has is left out.")] = False,
) -> None:
    """Read files of a product and write a store: maps become a field store, points an observation store.

    Example: dino-data ingest "tracks/*.dat" --out stores/tracks.zarr
    """
    if append:
        out = _archive(out, overwrite)
        files = [str(file) for file in unseen(expand(files), out)]
        if not files:
            typer.echo(f"{out} has the content of all these files already; nothing was changed")
            return
    else:
        out = out or Path("stores") / f"{Path(files[0].replace('*', '').replace('?', '')).stem or 'store'}.zarr"
        refuse_existing(out, overwrite)
    ds = read_files(
        files,
        product,
        channels=_listed(channels),
        units=_pairs(units, "--units"),
        variables=_pairs(variable, "--variable"),
        time=time,
        columns=_listed(columns),
        time_units=time_units,
        keep_repeats=append,
    )
    for note in ingestion_notes(ds):
        typer.echo(f"note: {note}", err=True)
    if append:
        commit = append_to_archive(ds, out)
        typer.echo(f"{out}: commit {commit.number}, {commit.summary()}" if commit else f"{out} was not changed")
        return
    with reported("writing") as progress:
        write_store(ds, out, overwrite=overwrite, progress=progress)
    sizes = ", ".join(f"{size} {dim}" for dim, size in ds.sizes.items() if dim not in ("day_edge", "source_index"))
    typer.echo(f"wrote {out}: {ds.attrs['product']}, {', '.join(channel_names(ds))}, {sizes}")


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
