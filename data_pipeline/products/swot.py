"""SWOT KaRIn, Level 2 and Level 3: which heights, which pixels the nadir altimeter saw, and when each line was."""

import numpy as np
import xarray as xr

from data_pipeline.errors import TimeError
from data_pipeline.layout.moments import moment
from data_pipeline.products.altimetry import with_topography
from data_pipeline.products.flags import Flag

# The anomaly of Level 3 is declared a height above the ellipsoid in some versions.
LEVEL3_CHANNELS: dict[str, str] = dict.fromkeys(
    ("ssha", "ssha_unfiltered", "ssha_filtered", "ssha_noiseless", "ssha_unedited"), "sla"
)
# Heights above the ellipsoid hold the geoid: they are no channel. The simulator's filtered ones are above the geoid.
LEVEL2_CHANNELS = {
    "ssha_karin_2": "sla",
    "ssha_karin": "sla",
    "ssh_karin_filt": "ssh",
    "ssh_karin": "",
    "ssh_karin_2": "",
}
LEVEL2_FLAGS = (
    *(Flag(f"{name}_qual", "with a quality flag", good=(0.0,), of=name) for name in ("ssha_karin_2", "ssha_karin")),
    Flag("ancillary_surface_classification_flag", "not over the ocean", good=(0.0,)),
    Flag("dynamic_ice_flag", "over ice", good=(0.0, 3.0)),  # 3 is "no data"
)
LEVEL3_FLAGS = (Flag("quality_flag", "with a quality flag", good=(0.0,)),)
NADIR = "is_nadir"
_LINES = "num_lines"
_TURNING_LATITUDE_DEGREES = 77.6
_SHORTEST_PASS, _LONGEST_PASS = np.timedelta64(40, "m"), np.timedelta64(60, "m")


def adapt_level2(ds: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """Add the crossover calibration, which Level 2 carries beside the heights."""
    correction = ds.get("height_cor_xover")
    if correction is None or correction.dtype.kind != "f":
        return ds
    names = [name for name in ("ssha_karin_2", "ssha_karin") if name in ds and ds[name].dims == correction.dims]
    if names:
        notes.append(f"height_cor_xover added to {' and '.join(names)}")
    return ds.assign({name: (ds[name] + correction).assign_attrs(ds[name].attrs) for name in names})


def adapt_level3(ds: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """ADT from its parts, pixels of the nadir altimeter marked, a time for each line where the file has none."""
    return _with_line_times(_with_nadir(with_topography(ds, notes)), notes)


def _with_nadir(ds: xr.Dataset) -> xr.Dataset:
    """`is_nadir` (line, pixel): pixels that the nadir altimeter filled in, by their indices."""
    indices = [ds.variables.get(name) for name in ("i_num_line", "i_num_pixel")]
    if any(index is None or index.ndim != 1 for index in indices) or not {_LINES, "num_pixels"} <= set(ds.sizes):
        return ds
    line, pixel = (np.asarray(index.values, dtype=np.float64) for index in indices if index is not None)
    if line.shape != pixel.shape:
        return ds
    inside = (line >= 0) & (line < ds.sizes[_LINES]) & (pixel >= 0) & (pixel < ds.sizes["num_pixels"])
    mask = np.zeros((ds.sizes[_LINES], ds.sizes["num_pixels"]), dtype=bool)
    mask[line[inside].astype(int), pixel[inside].astype(int)] = True
    return ds.assign({NADIR: ((_LINES, "num_pixels"), mask)})


def _with_line_times(ds: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """`time` by line, where the file has none, from the moments that its attributes give for start and end."""
    latitude = next((ds[name] for name in ("latitude", "lat") if name in ds.variables), None)
    start, end = (_moment(ds.attrs.get(f"time_coverage_{bound}")) for bound in ("start", "end"))
    if "time" in ds.variables or latitude is None or latitude.ndim != 2 or latitude.dims[0] != _LINES:
        return ds
    if start is None or end is None or not np.timedelta64(0) < end - start < _LONGEST_PASS:
        return ds
    middle = latitude.values[:, latitude.shape[1] // 2].astype(np.float64)
    whole = end - start > _SHORTEST_PASS
    share = _share_of_pass(middle) if whole else np.linspace(0.0, 1.0, middle.size)
    time = start + (np.nan_to_num(share) * ((end - start) / np.timedelta64(1, "ns"))).astype("timedelta64[ns]")
    time[~np.isfinite(share)] = np.datetime64("NaT")
    notes.append(f"time of each line from time_coverage_start and _end{' and its latitude' if whole else ''}")
    return ds.assign(time=(_LINES, time))


def _share_of_pass(latitude: np.ndarray) -> np.ndarray:
    """How far along its pass, from one turning latitude to the other, each line is: 0 to 1.

    The argument of latitude grows evenly in time, to some seconds; lines cut out of a pass keep their place in it.
    """
    sine = np.sin(np.deg2rad(latitude)) / np.sin(np.deg2rad(_TURNING_LATITUDE_DEGREES))
    phase = np.arcsin(np.clip(sine, -1.0, 1.0)) / np.pi
    known = latitude[np.isfinite(latitude)]
    descending = known.size > 1 and known[-1] < known[0]
    return 0.5 - phase if descending else 0.5 + phase


def _moment(text: object) -> np.datetime64 | None:
    try:
        return moment(text, "time_coverage") if isinstance(text, str) else None
    except TimeError:
        return None
