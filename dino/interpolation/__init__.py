"""Optimal interpolation of scattered observations with a covariance fitted to them."""

from .covariance import Component, Covariance, fit_covariance
from .optimal_interpolation import OptimalInterpolation

__all__ = ["Component", "Covariance", "OptimalInterpolation", "fit_covariance"]
