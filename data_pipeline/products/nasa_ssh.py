"""NASA-SSH along the track: heights against a mean sea surface, and the one flag that judges them."""

import xarray as xr

from data_pipeline.products.flags import Flag

# A height above a mean sea surface is an anomaly, whatever the variable is called. The smoothed copy is no second
# channel: its neighbours share their errors.
CHANNELS = {"ssh": "sla", "ssha": "sla", "ssh_smoothed": "", "ssha_smoothed": ""}
UNITS: dict[str, str] = dict.fromkeys(("ssh", "ssha"), "m")
FLAGS = (Flag("nasa_flag", "with a bad nasa_flag", good=(0.0,)),)


def adapt(ds: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """Tell which mean sea surface the heights refer to, and of which missions they are, where the file says so."""
    heights = [ds[name].attrs for name in UNITS if name in ds.variables]
    named = [str(attrs.get("mean_sea_surface", "")).strip() for attrs in (*heights, ds.attrs)]
    notes += [f"sla is the height above the mean sea surface {name}" for name in list(filter(None, named))[:1]]
    if merged := str(ds.attrs.get("source_files", "")).strip():
        notes.append(f"made from {merged}")
    return ds
