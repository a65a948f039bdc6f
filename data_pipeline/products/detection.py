"""What a file is, from its content and from what a user says."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_pipeline.errors import UnknownProductError
from data_pipeline.products.coordinates import find_positions, is_points
from data_pipeline.products.files import TEXT, content_of, open_netcdf
from data_pipeline.products.registry import ANY, GENERIC, GRID, POINTS, Product, recognise
from data_pipeline.products.text import text_product


def detect(path: str | os.PathLike[str]) -> Product:
    """The product of a file, from its content, of the family that the file is; UnknownProductError when no reader
    takes it.
    """
    return _by_content(Path(path))[0]


def _by_content(path: Path) -> tuple[Product, dict[str, Any]]:
    """(product, attributes) of a file by its content; a text has no attributes."""
    if content_of(path) == TEXT:
        return text_product(path), {}
    with open_netcdf(path) as opened:
        points = is_points(opened[0], *find_positions(opened[0], path.name))
        return recognise(opened[0], POINTS if points else GRID, path.name), dict(opened[0].attrs)


def identify(path: Path, named: Product | None, family: str | None) -> tuple[Product, dict[str, Any]]:
    """(product, attributes) of a file: as `named`, else by content; to be read as `family`, else as what the file is.

    Raises UnknownProductError when what is named contradicts the content.
    """
    found, attrs = _by_content(path)
    if named is not None and named.family not in (found.family, ANY):
        holds = "is text, which holds points" if content_of(path) == TEXT else "holds points"
        is_a = "is a grid, not points" if found.family == GRID else f"{holds}, not a grid"
        raise UnknownProductError(f"{path.name!r} {is_a}; leave out --product {named.name} or name another")
    if family == GRID and content_of(path) == TEXT:
        raise UnknownProductError(f"{path.name!r} is text, which holds no maps; leave out --as maps")
    # A family alone says less than the content does.
    product = found if named is None or named in GENERIC.values() else named
    return replace(product, family=family or found.family), attrs


def common_product(products: Sequence[tuple[Path, Product]]) -> Product:
    """The product of all files, or the generic one of their family; UnknownProductError when families differ."""
    (first_path, first), *rest = products
    for path, product in rest:
        if product.family != first.family:
            raise UnknownProductError(
                f"{first_path.name!r} is {first.name} and {path.name!r} is {product.name}; ingest them apart"
            )
    same = {product.name for _, product in products} == {first.name}
    return first if same else GENERIC[first.family]
