"""Nadir altimetry, along the track: dynamic topography from its parts, and the editing of Level 2 at 1 Hz."""

import xarray as xr

from data_pipeline.layout.channels import CHANNELS
from data_pipeline.products.flags import MADE_FROM, Flag

_ANOMALIES = ("sla_unfiltered", "ssha_unfiltered", "ssha_01_ku", "ssha", "ssha_noiseless", "ssha_filtered")
_TOPOGRAPHIES = ("mdt", "mean_dynamic_topography", "mean_dyn_topo_01", "mean_dynamic_topography_sol1")
_OPEN_WATER = (0.0,)

# Missions name the same judgement differently; those of Jason-1 to Jason-3, Sentinel-3 and Sentinel-6.
LEVEL2_FLAGS = (
    *(
        Flag(name, "not over the ocean", good=_OPEN_WATER)
        for name in ("surface_type", "surf_type_01", "surface_classification_flag")
    ),
    *(Flag(name, "over ice", good=(0.0,)) for name in ("ice_flag", "rad_sea_ice_flag", "open_sea_ice_flag_01_ku")),
    *(
        Flag(name, "with a bad range", good=(0.0,))
        for name in ("qual_alt_1hz_range_ku", "range_ocean_qual", "range_ocean_qual_01_ku")
    ),
    Flag("quality_ssha_01_ku", "with a quality flag", good=(0.0,), of="ssha_01_ku"),
    *(
        Flag(name, "with a range that scatters over 0.2 m in the second", at_most=0.2)
        for name in ("range_rms_ku", "range_ocean_rms", "range_ocean_rms_01_ku")
    ),
    *(
        Flag(name, "with fewer than 10 ranges in the second", at_least=10.0)
        for name in ("range_numval_ku", "range_ocean_numval", "range_ocean_numval_01_ku")
    ),
)


def with_topography(ds: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """ADT = SLA + MDT - LWE, where a file gives the parts, all in the units of SLA, and not the sum."""
    if any(str(name).lower() in CHANNELS["adt"].names for name in ds.data_vars):
        return ds
    anomaly = next((name for name in _ANOMALIES if name in ds.data_vars), None)
    mean = next((name for name in _TOPOGRAPHIES if name in ds.data_vars), None)
    if anomaly is None or mean is None:
        return ds
    parts = [anomaly, mean, *(["lwe"] if "lwe" in ds.data_vars else [])]
    same = {(str(ds[name].attrs.get("units")), ds[name].dims) for name in parts}
    if len(same) > 1 or any(ds[name].dtype.kind not in "fiu" for name in parts):
        return ds
    adt = ds[anomaly] + ds[mean] - ds["lwe"] if "lwe" in parts else ds[anomaly] + ds[mean]
    notes.append(f"adt = {' + '.join(parts[:2])}{' - lwe' if 'lwe' in parts else ''}")
    # Of the array alone: without the attributes of its coordinates the time of the file would not be found any more.
    attrs = {"units": ds[anomaly].attrs.get("units", ""), MADE_FROM: anomaly}
    adt = adt.drop_attrs(deep=False).assign_attrs(attrs)
    return ds.assign(adt=adt.reset_coords(drop=True))
