"""NetCDF files whose variables lie in groups: what belongs to one set of positions, as one flat dataset."""

import re
from collections.abc import Mapping

import xarray as xr

from data_pipeline.products.coordinates import has_positions

_ONE_HERTZ = re.compile(r"(^|_)0?1($|_|hz)", re.IGNORECASE)
_RAPID = re.compile(r"(^|_)(20|40|80)($|_|hz)", re.IGNORECASE)


def flat(groups: Mapping[str, xr.Dataset]) -> list[xr.Dataset]:
    """Datasets with positions, each with the variables of the groups under it, from all groups by path.

    Where the root has positions it is the only one. Of the rates of an altimeter 1 Hz is taken; the two sides of a
    swath are two datasets. Attributes are the root's, overruled by the group's own.
    """
    root = groups.get("/", xr.Dataset())
    if has_positions(root):
        return [root]
    holders = [path for path, ds in groups.items() if path != "/" and has_positions(ds)]
    slow = [path for path in holders if _ONE_HERTZ.search(_top(path))]
    if slow:
        holders = [path for path in holders if not _RAPID.search(_top(path))]
    holders = [path for path in holders if not any(path.startswith(f"{other}/") for other in holders)]
    return [_gathered(groups, path).assign_attrs({**root.attrs, **groups[path].attrs}) for path in holders]


def _top(path: str) -> str:
    return path.strip("/").split("/")[0]


def _gathered(groups: Mapping[str, xr.Dataset], path: str) -> xr.Dataset:
    """A group with the variables of the groups under it that lie along its dimensions; those of Ku band come first."""
    ds = groups[path]
    under = [other for other in groups if other.startswith(f"{path.rstrip('/')}/")]
    for other in sorted(under, key=lambda name: (not name.lower().endswith("/ku"), name)):
        child = groups[other]
        taken = {
            name: variable.variable
            for name, variable in child.data_vars.items()
            if name not in ds.variables and all(ds.sizes.get(dim) == child.sizes[dim] for dim in variable.dims)
        }
        ds = ds.assign(taken)
    return ds
