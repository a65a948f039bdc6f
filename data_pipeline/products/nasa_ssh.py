"""NASA-SSH along the track: heights against a mean sea surface, and the flag that judges them."""

import numpy as np
import xarray as xr

from data_pipeline.products.flags import Flag

# A height above a mean sea surface is an anomaly, whatever the variable is called. The smoothed copy is no second
# channel: its neighbours share their errors.
CHANNELS = {"ssh": "sla", "ssha": "sla", "ssh_smoothed": "", "ssha_smoothed": ""}
UNITS: dict[str, str] = dict.fromkeys(("ssh", "ssha"), "m")
_SUSPECT = "suspect_source"
FLAGS = (
    Flag("nasa_flag", "with a bad nasa_flag", good=(0.0,)),
    # What nasa_flag is made from, for files that lack it: the same judgement.
    Flag("median_filter_flag", "with a bad median_filter_flag", good=(0.0,)),
    Flag(_SUSPECT, "with a bad source_flag", good=(0.0,)),
)
# Of the columns of source_flag nasa_flag tolerates rain and corrections at their limits; so say its files.
_SOURCE_FLAG, _CONDEMNING = "source_flag", (0, 1, 2, 4)


def adapt(ds: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """Read `source_flag`; tell the mean sea surface of the heights and their missions, where the file does."""
    heights = [ds[name].attrs for name in UNITS if name in ds.variables]
    named = [str(attrs.get("mean_sea_surface", "")).strip() for attrs in (*heights, ds.attrs)]
    notes += [f"sla is the height above the mean sea surface {name}" for name in list(filter(None, named))[:1]]
    if merged := str(ds.attrs.get("source_files", "")).strip():
        notes.append(f"made from {merged}")
    flag = ds.get(_SOURCE_FLAG)
    if (
        "nasa_flag" not in ds
        and flag is not None
        and flag.ndim == 2
        and flag.shape[1] > max(_CONDEMNING)
        and flag.dtype.kind in "fiu"
    ):
        columns = flag.isel({flag.dims[1]: list(_CONDEMNING)})
        ds = ds.assign({_SUSPECT: (columns == 1).any(str(columns.dims[1])).astype(np.int8)})
    return ds
