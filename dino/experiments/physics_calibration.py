"""Whether the error bars of adapted physics are honest: of forecasts and of coefficients."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from scipy.stats import norm

LEVELS = np.arange(0.05, 1.0, 0.05)  # of the quantiles that are checked
NINETY = float(norm.ppf(0.95))
LEAST = 1e-12  # share of a field's size, below which a standard deviation is that of rounding


def crps(mean: np.ndarray, std: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score of normal distributions, in the unit of the field."""
    away = (truth - mean) / std
    return std * (away * (2 * norm.cdf(away) - 1) + 2 * norm.pdf(away) - 1 / np.sqrt(np.pi))


def calibration_error(mean: np.ndarray, std: np.ndarray, truth: np.ndarray) -> float:
    """Root mean square difference between quantile levels and the share of truths below that quantile."""
    below = norm.cdf((truth - mean) / std)
    return float(np.sqrt(np.mean([(np.mean(below <= level) - level) ** 2 for level in LEVELS])))


def forecasts_calibrated(made: xr.Dataset, truth: xr.Dataset) -> dict[str, float]:
    """RMSCE, CRPS and coverage of 90 % intervals of a forecast with `<channel>_std`, over all points and frames."""
    names = [str(name) for name in truth.data_vars]
    mean, true = (np.stack([np.asarray(of[name].values) for name in names]) for of in (made, truth))
    std = np.stack([np.asarray(made[f"{name}_std"].values) for name in names])
    std = np.maximum(std, LEAST * np.sqrt(np.mean(true**2)))
    return {
        "rmsce": calibration_error(mean, std, true),
        "crps": float(crps(mean, std, true).mean()),
        "covered_90": float((np.abs(true - mean) <= NINETY * std).mean()),
        "spread_over_error": float(np.sqrt((std**2).mean() / ((true - mean) ** 2).mean())),
    }


def coefficients_covered(
    coefficients: xr.Dataset, context: xr.Dataset, truth: Mapping[str, tuple[str, float]]
) -> dict[str, float]:
    """Share of environments whose 90 % interval of a coefficient holds the true one, of those terms that are known.

    truth : term -> parameter of the simulation, and the factor from it to the coefficient
    """
    numbers = coefficients["environment"].values
    rows = [int(np.flatnonzero(context["environment"].values == number)[0]) for number in numbers]
    row = {}
    for term, (name, factor) in truth.items():
        if term not in coefficients["term"].values:
            continue
        found = coefficients.sel(term=term)
        away = np.abs(found["mean"].values - factor * context[f"parameter_{name}"].values[rows])
        row[f"coefficient_covered_90.{name}"] = float((away <= NINETY * found["std"].values).mean())
    return row
