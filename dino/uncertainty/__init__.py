"""Honest error bars: factors of the spread of forecasts, fitted to what was held out."""

from .factors import Calibration
from .maps import calibrate_from_maps, segments_of
from .points import calibrate_from_points

__all__ = ["Calibration", "calibrate_from_maps", "calibrate_from_points", "segments_of"]
