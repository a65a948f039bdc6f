"""Doubly periodic boxes laid on the globe, so that simulations without dimensions are field stores like others.

A box of side 1 becomes `UNIT_KM` kilometres wide about 0 E, 0 N and a unit of time becomes a day. The attributes
`periodic_length_km`, `reference_longitude` and `reference_latitude` are what readers need to close the box.
"""

import json
from collections.abc import Mapping, Sequence

import dask.array
import numpy as np
import xarray as xr

from data_pipeline.layout.datasets import fields_dataset
from data_pipeline.layout.globe import EARTH_RADIUS_KM
from data_pipeline.simulators.sequences import SequencesConfig, Symmetry, frame_times

UNIT_KM = 100.0


def box_axes(
    size: int, length_km: float, reference_longitude: float = 0.0, reference_latitude: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes (size,) [degrees] of a square box's points, from half a side west and south of the
    reference, on the plane that touches the globe there."""
    degrees = np.rad2deg((np.arange(size) / size - 0.5) * length_km / EARTH_RADIUS_KM)
    longitude = reference_longitude + degrees / np.cos(np.deg2rad(reference_latitude))
    return longitude, reference_latitude + degrees


def box_attributes(length_km: float, reference_longitude: float = 0.0, reference_latitude: float = 0.0) -> dict:
    """Root attributes that tell readers of the periods."""
    return {
        "periodic_length_km": [length_km, length_km],
        "reference_longitude": reference_longitude,
        "reference_latitude": reference_latitude,
    }


def dimensionless_fields(
    config: SequencesConfig,
    product: str,
    channels: Mapping[str, str],
    size: int,
    length: float,
    interval: float,
    symmetries: Sequence[Symmetry],
) -> xr.Dataset:
    """The store of a dimensionless system before it is filled: channels (trajectory, time, latitude, longitude) of 0.

    channels: name -> long name. length, interval: side of the box and time between frames in units of the system.
    symmetries: generators of the system's group.
    """
    longitude, latitude = box_axes(size, length * UNIT_KM)
    shape = (config.trajectories * config.cuts, config.sequence_frames, size, size)
    empty = dask.array.zeros(shape, dtype=np.float32, chunks=(1, *shape[1:]))
    attrs = {
        "product": product,
        "history": f"simulated with {config.settings()}",
        **box_attributes(length * UNIT_KM),
        "length_unit_km": UNIT_KM,
        "time_unit_days": 1,
        "symmetries": json.dumps(symmetries),
    }
    time = frame_times(config.sequence_frames, interval)
    units = dict.fromkeys(channels, "1")
    fields = fields_dataset(time, longitude, latitude, dict.fromkeys(channels, empty), attrs, units)
    for name, long_name in channels.items():
        fields[name].attrs["long_name"] = long_name
    return fields
