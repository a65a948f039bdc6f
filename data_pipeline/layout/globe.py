"""The globe that positions lie on: its radius, longitudes that come round, axes and the positions they span."""

from typing import Any

import numpy as np

EARTH_RADIUS_KM = 6371.0


def wrap_longitude(longitude: Any) -> np.ndarray:
    """Longitudes [degrees] in [-180, 180) as float64; values already inside stay exactly as they are."""
    longitude = np.asarray(longitude, dtype=np.float64)
    wrapped = np.mod(longitude + 180.0, 360.0) - 180.0
    # np.mod rounds the smallest negative arguments up to 360 itself.
    wrapped = np.where(wrapped >= 180.0, -180.0, wrapped)
    return np.where((longitude >= -180.0) & (longitude < 180.0), longitude, wrapped)


def mesh(longitude: np.ndarray, latitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(longitude, latitude), each (y, x), of axes (x,) and (y,); positions that are (y, x) already stay as they are."""
    if np.ndim(longitude) == 2:
        return np.asarray(longitude), np.asarray(latitude)
    across, along = np.meshgrid(longitude, latitude)
    return across, along
