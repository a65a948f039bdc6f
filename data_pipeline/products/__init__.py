"""From files of known products to canonical datasets: what a file is, is found from its content."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from data_pipeline.errors import EmptyDataError, NoValueError, SchemaError, UnitsError, UnknownProductError
from data_pipeline.layout.channels import CHANNELS
from data_pipeline.layout.degrees import CANONICAL
from data_pipeline.products.asking import require_depth, require_table, require_text, require_texts
from data_pipeline.products.cf_grid import Maps, join_maps, survey_maps
from data_pipeline.products.detection import common_product, detect, identify
from data_pipeline.products.files import Options, expand
from data_pipeline.products.many import read_each
from data_pipeline.products.observed import Points
from data_pipeline.products.points import join_points, read_points
from data_pipeline.products.registry import GRID, POINTS, PRODUCTS, Product, named_product
from data_pipeline.products.screening import Counts, totals
from data_pipeline.system.provenance import provenance

__all__ = ["PRODUCTS", "Product", "detect", "ingest"]

FAMILIES = {"maps": GRID, "points": POINTS}
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
    depth: float | None = None,
    layout: str | None = None,
    keep_flagged: bool = False,
    strict: bool = False,
    keep_repeats: bool = False,
    provenances: Mapping[Path, Mapping[str, Any] | None] | None = None,
) -> xr.Dataset:
    """Files (paths or glob patterns) of one product as a canonical Dataset, lazy for grids, ready for `write_store`.

    product: a name of PRODUCTS, found from the content when omitted. channels: keep these only. units, variables:
    the units, or the variable of the file, of a channel; units also of "longitude" and "latitude". time: when a file
    without time is. columns: of a text table. time_units: where a time has no units to count from. depth: of the level
    to take [m], the surface when omitted. layout: "points" or "maps", what suits the file when omitted. keep_flagged:
    keep what the product's own flags condemn. strict: raise for the first bad file, instead of leaving bad ones out as
    long as there is a good one; those are told in attribute `left_out` (JSON). keep_repeats: points that several files
    hold stay, for an archive to sort out. provenances: those of files that are known already.

    Files are read by a cluster that is connected or by the dask scheduler that is set, else one after the other. What
    was converted, assumed or dropped is told in attribute `history`, and for every file in `sources` (JSON). Raises
    MissingFileError, UnknownProductError, UnitsError, SchemaError, EmptyDataError, and ConfigError for an argument of
    another kind than is wanted.
    """
    files = expand(paths)
    units = require_table("units", units)
    for name, told in (("product", product), ("time_units", time_units), ("layout", layout)):
        if told is not None:
            require_text(name, told)
    if layout is not None and layout not in FAMILIES:
        raise UnknownProductError(f"there is no layout {layout!r}; choose one of {', '.join(FAMILIES)}")
    if time is not None and len(files) > 1:
        raise SchemaError(f"--time gives one time and {len(files)} files are named; ingest them one by one")
    if unknown := [name for name in units if name not in (*CHANNELS, *CANONICAL)]:
        raise UnitsError(
            f"units are told for {unknown[0]!r}, which is none of {', '.join((*CHANNELS, *CANONICAL))}; name one"
        )
    options = Options(
        require_texts("channels", channels),
        units,
        require_table("variables", variables),
        time,
        require_texts("columns", columns),
        time_units,
        require_depth(depth),
        FAMILIES[layout] if layout else None,
        keep_flagged,
        keep_repeats,
    )
    named = named_product(product) if product else None
    read = partial(_read, named=named, options=options, known=_by_place(provenances))
    good, failures = read_each(files, read, strict)
    common = common_product([(path, file.product) for path, file in good])
    try:
        ds, counts, notes = _joined(good, options)
    except NoValueError as error:
        error.left_out = tuple(f"{failure.path.name} left out: {failure.error}" for failure in failures)
        raise
    original = _original_attrs([file for _, file in good])
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    history = [*original.pop("history"), f"{stamp} ingested as {common.name} from {len(good)} file(s)", *notes]
    history += [f"{failure.path.name} left out: {failure.error}" for failure in failures]
    sources = [
        {**file.provenance, "counts": {name: count.as_dict() for name, count in of_file.items()}}
        for (_, file), of_file in zip(good, counts, strict=True)
    ]
    left_out = [{"file": failure.path.name, "error": str(failure.error)} for failure in failures]
    return ds.assign_attrs(
        product=common.name,
        sources=json.dumps(sources),
        history="\n".join(history),
        **({"left_out": json.dumps(left_out)} if left_out else {}),
        **original,
    )


@dataclass(frozen=True)
class _File:
    """What one file gave: its points or maps, attributes and provenance."""

    product: Product
    content: Points | Maps
    attrs: dict[str, str]
    provenance: dict[str, Any]


def _by_place(provenances: Mapping[Path, Mapping[str, Any] | None] | None) -> dict[Path, dict[str, Any]]:
    return {path.absolute(): dict(known) for path, known in (provenances or {}).items() if known}


def _read(path: Path, named: Product | None, options: Options, known: Mapping[Path, dict[str, Any]]) -> _File:
    product, held = identify(path, named, options.family)
    content = (survey_maps if product.family == GRID else read_points)(path, product, options)
    attrs = {name: str(held[name]) for name in ("history", *_COPIED_ATTRS) if name in held}
    return _File(product, content, attrs, known.get(path.absolute()) or provenance(path))


def _joined(good: Sequence[tuple[Path, _File]], options: Options) -> tuple[xr.Dataset, list[Counts], list[str]]:
    """(Dataset, counts of each file, notes) of all files, which are of one family."""
    contents: list[Any] = [file.content for _, file in good]
    maps = good[0][1].product.family == GRID
    _require_values([path for path, _ in good], totals(content.counts for content in contents), every=maps)
    notes = [f"{path.name}: {note}" for path, file in good for note in file.content.notes]
    if maps:
        products = [(path, file.product) for path, file in good]
        ds, more = join_maps(products, contents, options)
        counts, notes = [content.counts for content in contents], notes + more
    else:
        ds, counts = join_points(contents, options.keep_repeats)
    return ds, counts, notes + [count.note(channel) for channel, count in totals(counts).items()]


def _require_values(paths: Sequence[Path], counts: Counts, every: bool) -> None:
    """NoValueError when nothing valid is left of any channel; EmptyDataError when of one, if `every` one counts."""
    empty = {channel: count for channel, count in counts.items() if not count.kept}
    if empty if every else len(empty) == len(counts):
        where = repr(paths[0].name) + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
        reasons = "; ".join(count.note(channel) for channel, count in empty.items())
        kind = EmptyDataError if every else NoValueError
        raise kind(f"{where} holds no valid value ({reasons}); check units, fill value and flags")


def _original_attrs(files: Sequence[_File]) -> dict[str, Any]:
    """CF attributes of the first NetCDF file that has them, and every distinct history of all."""
    attrs: dict[str, Any] = {"history": []}
    for file in files:
        text = file.attrs.get("history", "").strip()
        if text and text not in attrs["history"]:
            attrs["history"].append(text)
        attrs = {name: value for name, value in file.attrs.items() if name != "history"} | attrs
    return attrs
