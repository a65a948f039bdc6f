"""ROMS: currents along the axes of the grid, at the faces of its cells, into eastward and northward at the centres."""

import numpy as np
import xarray as xr

from data_pipeline.products.flags import Flag

FLAGS = (Flag("mask_rho", "on land", good=(1.0,)),)
_ALONG_AXES = {"u": "x_sea_water_velocity", "v": "y_sea_water_velocity"}
_POSITIONS = (("lon_rho", "lat_rho"), ("longitude", "latitude"), ("lon", "lat"))


def adapt(ds: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """Currents `u` and `v` turned to east and north; left out where the file does not say how its axes lie."""
    if "u" not in ds.data_vars or "v" not in ds.data_vars:
        return ds
    staggered = _is_staggered(ds)
    names = {name: str(ds[name].attrs.get("standard_name", "")) for name in _ALONG_AXES}
    if not staggered and names != _ALONG_AXES:
        return ds
    u, v = (_to_centres(ds["u"], "u"), _to_centres(ds["v"], "v")) if staggered else (ds["u"], ds["v"])
    angle = _angle(ds)
    if angle is None or not set(angle.dims) <= set(u.dims) or set(u.dims) != set(v.dims):
        notes.append("u and v lie along the axes of the grid, whose angle is unknown: left out")
        return ds.drop_vars(["u", "v"])
    notes.append("u and v turned from the axes of the grid to east and north")
    sine, cosine = np.sin(angle), np.cos(angle)
    units = {name: {"units": ds[name].attrs.get("units", "")} for name in _ALONG_AXES}
    east, north = u * cosine - v * sine, u * sine + v * cosine
    return ds.drop_vars(["u", "v"]).assign(
        u=east.drop_attrs(deep=False).assign_attrs(units["u"]), v=north.drop_attrs(deep=False).assign_attrs(units["v"])
    )


def _is_staggered(ds: xr.Dataset) -> bool:
    """Whether u and v lie on the faces between the centres of cells."""
    faces = {"u": ("eta_u", "xi_u"), "v": ("eta_v", "xi_v")}
    if not all(set(dims) <= set(ds[name].dims) for name, dims in faces.items()):
        return False
    rows, columns = ds.sizes.get("eta_rho", 0), ds.sizes.get("xi_rho", 0)
    held = [tuple(ds.sizes[dim] for dim in dims) for dims in faces.values()]
    return min(rows, columns) > 2 and held == [(rows, columns - 1), (rows - 1, columns)]


def _to_centres(velocity: xr.DataArray, name: str) -> xr.DataArray:
    """Mean of the two faces of each inner cell, missing at the border, on the dimensions of the centres."""
    along, across, centre_along, centre_across = (
        ("xi_u", "eta_u", "xi_rho", "eta_rho") if name == "u" else ("eta_v", "xi_v", "eta_rho", "xi_rho")
    )
    values = velocity.drop_vars([coord for coord in velocity.coords if {along, across} & set(velocity[coord].dims)])
    mean = 0.5 * (values.isel({along: slice(1, None)}) + values.isel({along: slice(None, -1)}))
    return mean.pad({along: (1, 1)}, constant_values=np.nan).rename({along: centre_along, across: centre_across})


def _angle(ds: xr.Dataset) -> xr.DataArray | None:
    """Angle [radian] from east to the axis of the columns: the file's own, or that of neighbouring positions."""
    if "angle" in ds.variables and ds["angle"].ndim == 2:
        degrees = "deg" in str(ds["angle"].attrs.get("units", "")).lower()
        angle = ds["angle"].reset_coords(drop=True)
        return angle * (np.pi / 180.0) if degrees else angle
    for lon, lat in _POSITIONS:
        if lon in ds.variables and lat in ds.variables and ds[lon].ndim == 2 and min(ds[lon].shape) > 1:
            longitude, latitude = ds[lon].values.astype(np.float64), ds[lat].values.astype(np.float64)
            step = np.gradient(np.unwrap(longitude, period=360.0, axis=1), axis=1)
            east = step * np.cos(np.deg2rad(latitude))
            return xr.DataArray(np.arctan2(np.gradient(latitude, axis=1), east), dims=ds[lon].dims)
    return None
