"""What a user names to start from: a store, an archive, or files of a product, which are read once into a cache."""

import json
from collections.abc import Sequence
from pathlib import Path

import typer
import xarray as xr

from data_pipeline.archive.commits import is_archive
from data_pipeline.stores.writing import open_store

from ..errors import ConfigError, MissingFileError


def is_store(name: str) -> bool:
    """Whether a name is to be opened as a store or an archive: a folder, or what ends like one."""
    path = Path(name)
    return path.is_dir() or path.suffix in (".zarr", ".archive")


def opened(names: Sequence[str], as_of: str | None = None, cache: Path | None = None) -> xr.Dataset:
    """One store or archive, or product files (patterns are allowed) by way of the cache.

    Raises `MissingFileError` where there is nothing, `ConfigError` for a mixture, and what `ingest` raises for files.
    """
    stores = [name for name in names if is_store(name)]
    if len(names) == 1 and stores:
        return open_store(Path(names[0]), as_of=as_of, blocks=False)
    if stores:
        raise ConfigError(
            f"{len(names)} names came and {stores[0]} is a store; give one store or archive, or files of products"
        )
    if as_of is not None:
        raise ConfigError("--as-of is of an archive, and files came; leave it out")
    _refuse_missing(names)
    from data_pipeline.products.cached import ingested  # with what reads products

    made = ingested(names, cache)
    for failure in json.loads(made.attrs.get("left_out", "[]")):
        typer.echo(f"warning: {failure['file']} left out: {failure['error']}", err=True)
    return made


def _refuse_missing(names: Sequence[str]) -> None:
    """A name that is no file here and no pattern: the user may have meant a store."""
    for name in names:
        if not Path(name).exists() and not any(sign in name for sign in "*?["):
            raise MissingFileError(
                f"there is no store and no file at {name!r}; check the path, or make a store with dino-data"
            )


def described(names: Sequence[str]) -> str:
    """The names in a few words, for the history of a forecast: no folder is named."""
    shown = [Path(name).name for name in names]
    kind = "archive" if len(names) == 1 and is_archive(Path(names[0])) else "store" if is_store(names[0]) else "files"
    return f"{kind} {', '.join(shown[:3])}{f' and {len(shown) - 3} more' if len(shown) > 3 else ''}"
