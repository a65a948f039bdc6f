"""GHRSST L2P, L3 and L4: quality levels, the bias of single sensors, water that is no sea."""

import numpy as np
import xarray as xr

from data_pipeline.products.flags import Flag

_TEMPERATURE = "sea_surface_temperature"
_BIAS = "sses_bias"
_LAND_OR_LAKE = 2 | 4

# Levels: 5 best, 4 acceptable, 3 low and below; what matters is dropped unless it is at least acceptable.
FLAGS = (
    Flag("quality_level", "of a quality level under 4", at_least=4.0, of=_TEMPERATURE),
    Flag("is_land_or_lake", "on land or lake", good=(0.0,)),
)


def adapt(ds: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """Subtract the bias of the sensor, as the format asks of its users; read land and lake from the bits of `mask`."""
    temperature, bias, mask = (ds.get(name) for name in (_TEMPERATURE, _BIAS, "mask"))
    if temperature is not None and bias is not None and bias.dims == temperature.dims and bias.dtype.kind == "f":
        notes.append(f"sst is {_TEMPERATURE} - {_BIAS} (0 where the bias is missing)")
        ds = ds.assign({_TEMPERATURE: (temperature - bias.fillna(0.0)).assign_attrs(temperature.attrs)})
    if mask is not None and "analysed_sst" in ds and mask.dtype.kind in "fiu":
        bits = mask.fillna(0).astype(np.int64) & _LAND_OR_LAKE
        ds = ds.assign(is_land_or_lake=(bits != 0).astype(np.int8))
    return ds
