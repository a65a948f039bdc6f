"""Malformed NetCDF: files of every layout that readers know, spoilt at random, the same for the same seed."""

from collections.abc import Callable
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr

Random = np.random.Generator
DAYS = {"units": "days since 2000-01-01"}
UNITS = [
    *("", "furlong", "kelvin", "m", "cm", "degrees_north", "days since yesterday", "seconds since 2000-13-45"),
    *("days since 0000-00-00", "months since 1900-01-01", "1", "%", "days", 7, np.nan, np.arange(3.0), "µ\x00m"),
]
CALENDARS = ["360_day", "noleap", "julian", "mayan", "", "all_leap", 3]
NAMES = ["lat", "lon", "time", "adt", "sla", "sst", "depth", "x", "nav_lon", "sst_dtime", "mask", "quality_level", "u"]
NUMBERS = [np.nan, np.inf, -np.inf, 1e308, -1e30, 1e20, 0.0, 9999.0, 2.0**63]


def track(random: Random) -> xr.Dataset:
    size = int(random.integers(1, 30))
    return xr.Dataset(
        {
            "sla_unfiltered": ("time", random.normal(0.0, 0.1, size), {"units": "m"}),
            "mdt": ("time", random.normal(0.0, 0.1, size), {"units": "m"}),
            "flag": ("time", random.integers(0, 2, size)),
        },
        coords={
            "time": ("time", np.sort(random.uniform(0.0, 9.0, size)), DAYS),
            "longitude": ("time", random.uniform(-180.0, 360.0, size), {"units": "degrees_east"}),
            "latitude": ("time", random.uniform(-90.0, 90.0, size), {"units": "degrees_north"}),
        },
    )


def grid(random: Random) -> xr.Dataset:
    shape = tuple(int(size) for size in random.integers(1, 6, 4))
    return xr.Dataset(
        {
            "adt": (("time", "lat", "lon"), random.normal(size=(shape[0], *shape[2:])), {"units": "m"}),
            "so": (("time", "depth", "lat", "lon"), np.full(shape, 35.0), {"units": "1e-3"}),
        },
        coords={
            "time": ("time", np.arange(shape[0]) + 0.5, DAYS),
            "depth": ("depth", np.arange(shape[1]) * 10.0, {"units": "m"}),
            "lat": ("lat", np.linspace(-60.0, 60.0, shape[2]), {"units": "degrees_north"}),
            "lon": ("lon", np.linspace(0.0, 300.0, shape[3]), {"units": "degrees_east"}),
        },
    )


def pixels(random: Random, dims: tuple[str, str]) -> tuple[tuple[int, int], dict[str, tuple]]:
    """(shape, 2-D positions) of a grid or swath."""
    shape = (int(random.integers(1, 8)), int(random.integers(1, 8)))
    latitude, longitude = np.meshgrid(np.linspace(10, 20, shape[0]), np.linspace(350, 370, shape[1]), indexing="ij")
    return shape, {"lat": (dims, latitude), "lon": (dims, longitude)}


def model(random: Random) -> xr.Dataset:
    shape, positions = pixels(random, ("eta_rho", "xi_rho"))
    rows, columns = shape
    return xr.Dataset(
        {
            "zeta": (("ocean_time", "eta_rho", "xi_rho"), np.zeros((2, *shape)), {"units": "meter"}),
            "u": (("ocean_time", "eta_u", "xi_u"), np.zeros((2, rows, max(columns - 1, 0))), {"units": "m s-1"}),
            "v": (("ocean_time", "eta_v", "xi_v"), np.zeros((2, max(rows - 1, 0), columns)), {"units": "m s-1"}),
            "mask_rho": (("eta_rho", "xi_rho"), random.integers(0, 2, shape)),
        },
        coords={
            "lat_rho": positions["lat"],
            "lon_rho": positions["lon"],
            "ocean_time": ("ocean_time", [0.0, 1.0], DAYS),
        },
    )


def swath(random: Random) -> xr.Dataset:
    dims = ("num_lines", "num_pixels")
    shape, positions = pixels(random, dims)
    ds = xr.Dataset(
        {
            "ssha_karin": (dims, random.normal(size=shape), {"units": "m"}),
            "ssha_karin_qual": (dims, random.integers(0, 2, shape)),
            "height_cor_xover": (dims, random.normal(size=shape), {"units": "m"}),
            "ssha_unfiltered": (dims, random.normal(size=shape), {"units": "m"}),
            "i_num_line": ("num_nadir", random.integers(-5, 9, 3)),
            "i_num_pixel": ("num_nadir", random.integers(-5, 9, 3)),
        },
        coords=positions,
        attrs={"time_coverage_start": "2023-03-28T23:44:17Z", "time_coverage_end": "2023-03-29T00:35:22Z"},
    )
    if random.random() < 0.5:
        ds = ds.assign_coords(time=("num_lines", np.arange(shape[0]) / 1e4, DAYS))
    return ds.assign_attrs(title="SWOT KaRIn L3") if random.random() < 0.5 else ds


def temperature(random: Random) -> xr.Dataset:
    dims = ("time", "nj", "ni")
    shape, positions = pixels(random, dims[1:])
    return xr.Dataset(
        {
            "sea_surface_temperature": (dims, random.uniform(270.0, 300.0, (1, *shape)), {"units": "kelvin"}),
            "sst_dtime": (dims, random.uniform(0.0, 300.0, (1, *shape)), {"units": "seconds"}),
            "quality_level": (dims, random.integers(0, 6, (1, *shape))),
            "sses_bias": (dims, random.normal(size=(1, *shape)), {"units": "kelvin"}),
            "mask": (dims, random.integers(0, 16, (1, *shape))),
        },
        coords=positions | {"time": ("time", [3.0], DAYS)},
        attrs={"title": "GHRSST", "processing_level": "L2P"},
    )


LAYOUTS: list[Callable[[Random], xr.Dataset]] = [track, grid, model, swath, temperature]


def spoil(ds: xr.Dataset, random: Random) -> xr.Dataset:
    """One thing wrong, or unusual, with a dataset that is not decoded."""
    name = str(random.choice(list(map(str, ds.variables))))
    dim = str(random.choice(list(map(str, ds.sizes)))) if ds.sizes else ""
    variable = ds[name].variable
    choice = int(random.integers(0, 14))
    if choice == 0:
        return ds.drop_vars(name)
    if choice == 1:
        new = str(random.choice(NAMES))
        return ds if new in ds.variables or new in ds.sizes else ds.rename({name: new})
    if choice == 2 and dim:
        new = str(random.choice([*NAMES, "num_lines", "scan", "meas_ind"]))
        return ds if new in ds.variables or new in ds.sizes else ds.rename({dim: new})
    if choice == 3 and dim:
        return ds.isel({dim: slice(0, 0)} if random.random() < 0.5 else {dim: 0})
    if choice == 4:
        return ds.assign({name: variable.transpose(*reversed(variable.dims))}) if name not in ds.indexes else ds
    if choice == 5:
        attrs = variable.attrs | {"units": UNITS[int(random.integers(len(UNITS)))]}
        return replaced(ds, name, variable.dims, variable.values, attrs)
    if choice == 6:
        attrs = variable.attrs | {"calendar": CALENDARS[int(random.integers(len(CALENDARS)))]}
        return replaced(ds, name, variable.dims, variable.values, attrs)
    if choice in (7, 8):
        values = variable.values.astype(np.float64) if variable.dtype.kind in "fiu" else variable.values
        if values.dtype.kind == "f":
            hit = random.random(values.shape) < random.choice([0.2, 1.0])
            values = np.where(hit, NUMBERS[int(random.integers(len(NUMBERS)))], values)
        return replaced(ds, name, variable.dims, values, variable.attrs)
    if choice == 9:
        kind = str(random.choice(["str", "int8", "float32", "bool", "int64"]))
        with np.errstate(invalid="ignore"):
            values = variable.values.astype(kind)
        return replaced(ds, name, variable.dims, values, variable.attrs)
    if choice == 10:
        key = str(
            random.choice(["scale_factor", "add_offset", "valid_min", "valid_range", "_FillValue", "standard_name"])
        )
        wrong = ["abc", 0.0, np.nan, np.arange(3.0), "time", "longitude", "sea_surface_height_above_geoid", 2.5]
        value = wrong[int(random.integers(len(wrong)))]
        if key == "_FillValue":  # the library refuses to write one of another type
            value = variable.dtype.type(0) if variable.dtype.kind in "fiu" else None
        attrs = variable.attrs | ({key: value} if value is not None else {})
        return replaced(ds, name, variable.dims, variable.values, attrs)
    if choice == 11 and variable.ndim and variable.size > 1:
        order = random.integers(0, variable.shape[0], variable.shape[0])
        return replaced(ds, name, variable.dims, variable.values[order], variable.attrs)
    if choice == 12:
        return replaced(ds, name, (), np.float64(3.0), variable.attrs)
    key = str(random.choice(["title", "time_coverage_start", "processing_level", "history", "cdm_data_type", "source"]))
    value = ["SWOT KaRIn L3", "GHRSST OSTIA", "ROMS", "2000-99-99", "L2P", "swath", 5, "\u00e9" * 300][
        int(random.integers(8))
    ]
    return ds.assign_attrs({key: value})


def replaced(ds: xr.Dataset, name: str, dims: tuple, values: np.ndarray, attrs: dict) -> xr.Dataset:
    """The dataset with another variable of a name, which stays a coordinate if it was one."""
    made = xr.Variable(dims, values, attrs)
    was_coordinate = name in ds.coords
    ds = ds.drop_vars(name)
    return ds.assign_coords({name: made}) if was_coordinate and name not in made.dims else ds.assign({name: made})


def damage(path: Path, random: Random) -> None:
    """Cut a file short, or overwrite some of its bytes."""
    content = bytearray(path.read_bytes())
    choice = int(random.integers(0, 4))
    if choice == 0:
        content = content[: int(random.integers(0, len(content)))]
    elif choice == 1:
        for place in random.integers(0, len(content), int(random.integers(1, 40))):
            content[place] = int(random.integers(0, 256))
    elif choice == 2:
        start = int(random.integers(0, len(content)))
        content[start : start + 512] = bytes(len(content[start : start + 512]))
    else:
        content = content[int(random.integers(1, 64)) :]
    path.write_bytes(bytes(content))


def write(path: Path, seed: int) -> bool:
    """Write the malformed file of a seed; True when its bytes were damaged and not only its content."""
    random = np.random.default_rng(seed)
    ds = LAYOUTS[seed % len(LAYOUTS)](random)
    for _ in range(int(random.integers(0, 4))):
        try:
            ds = spoil(ds, random)
        except ValueError:  # xarray itself refuses what would be inconsistent
            continue
    classic = random.random() < 0.3 and all(ds.sizes.values())  # it takes a length of zero for an unlimited one
    group = "data_01" if not classic and random.random() < 0.15 else None
    _store(ds, path, "NETCDF3_64BIT" if classic else "NETCDF4", group)
    damaged = random.random() < 0.25
    if damaged:
        damage(path, random)
    return damaged


def _store(ds: xr.Dataset, path: Path, kind: str, group: str | None) -> None:
    """Write without encoding anything, so that what is wrong stays wrong; what the format cannot hold is left out."""
    with netCDF4.Dataset(path, "w", format=kind) as file:
        target = file.createGroup(group) if group else file
        for dim, size in ds.sizes.items():
            target.createDimension(str(dim), size)
        for name, variable in ds.variables.items():
            values = np.asarray(variable.values)
            if values.dtype.kind == "b":
                values = values.astype("int8")
            if kind != "NETCDF4" and values.dtype.kind in "iu":
                values = values.astype("int32")
            if values.dtype.kind in "OUSM" and (kind != "NETCDF4" or values.dtype.kind == "M"):
                continue
            fill = variable.attrs.get("_FillValue")
            dtype = str if values.dtype.kind in "OUS" else values.dtype
            made = target.createVariable(str(name), dtype, variable.dims, fill_value=fill if dtype is not str else None)
            made.set_auto_maskandscale(False)
            for key, value in variable.attrs.items():
                if key != "_FillValue":
                    made.setncattr(key, value)
            if values.size:
                made[...] = values.astype(object) if dtype is str else values
        for key, value in ds.attrs.items():
            file.setncattr(key, value)
