"""From files of known products to canonical datasets: what a file is, is found from its content."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import xarray as xr

from data_pipeline.errors import UnknownProductError
from data_pipeline.products.cf_grid import read_grids
from data_pipeline.products.coordinates import find_positions, is_points
from data_pipeline.products.files import TEXT, Options, content_of, expand, open_netcdf, provenance
from data_pipeline.products.points import read_points
from data_pipeline.products.registry import GENERIC, GRID, POINTS, PRODUCTS, Product, named_product, recognise
from data_pipeline.products.text import text_product

__all__ = ["PRODUCTS", "Product", "detect", "ingest"]

_COPIED_ATTRS = ("title", "institution", "references", "license", "licence", "credit")


def ingest(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    product: str | None = None,
    *,
    channels: Sequence[str] = (),
    units: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    time: str | None = None,
    columns: Sequence[str] = (),
    time_units: str | None = None,
    keep_repeats: bool = False,
) -> xr.Dataset:
    """Files (paths or glob patterns) of one product as a canonical Dataset, lazy for grids, ready for `write_store`.

    product: a name of PRODUCTS, found from the content when omitted. channels: keep these only. units, variables:
    the units, or the variable of the file, of a channel. time: when a single map without time is. columns,
    time_units: of a text table. keep_repeats: points that several files hold stay, for an archive to sort out. What
    was converted, assumed or screened is told line by line in attribute `history`. Raises MissingFileError,
    UnknownProductError, UnitsError, SchemaError and EmptyDataError.
    """
    files = expand(paths)
    options = Options(
        tuple(channels), dict(units or {}), dict(variables or {}), time, tuple(columns), time_units, keep_repeats
    )
    known = _named_or_found(product, files)
    read = read_grids if known.family == GRID else read_points
    ds, notes = read(files, known, options)
    original = _original_attrs(files)
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    history = [*original.pop("history"), f"{stamp} ingested as {known.name} from {len(files)} file(s)", *notes]
    return ds.assign_attrs(
        product=known.name,
        sources=json.dumps([provenance(path) for path in files]),
        history="\n".join(history),
        **original,
    )


def detect(path: str | os.PathLike[str]) -> Product:
    """The product of a file, from its content; UnknownProductError when no reader takes it."""
    path = Path(path)
    if content_of(path) == TEXT:
        return text_product(path)
    with open_netcdf(path) as ds:
        points = is_points(*find_positions(ds, path.name), path.name)
        return recognise(ds, POINTS if points else GRID, path.name)


def _named_or_found(name: str | None, files: list[Path]) -> Product:
    if name is None:
        return _common_product(files)
    named = named_product(name)
    if named not in GENERIC.values():
        return named
    # A family alone says less than the content does, unless the two contradict each other.
    found = _common_product(files)
    return found if found.family == named.family else named


def _common_product(files: list[Path]) -> Product:
    found = {path: detect(path) for path in files}
    first = found[files[0]]
    for path, product in found.items():
        if product.family != first.family:
            raise UnknownProductError(
                f"{files[0].name!r} is {first.name} and {path.name!r} is {product.name}; ingest them apart"
            )
    names = {product.name for product in found.values()}
    return first if len(names) == 1 else GENERIC[first.family]


def _original_attrs(files: list[Path]) -> dict:
    """CF attributes of the first NetCDF file, and every distinct history of all."""
    attrs: dict = {"history": []}
    for path in files:
        if content_of(path) == TEXT:
            continue
        with open_netcdf(path) as ds:
            text = str(ds.attrs.get("history", "")).strip()
            if text and text not in attrs["history"]:
                attrs["history"].append(text)
            copied = {name: str(ds.attrs[name]) for name in _COPIED_ATTRS if name in ds.attrs}
            attrs = copied | attrs
    return attrs
