"""Figures of a store: one function each, which writes one file."""

from pathlib import Path

import xarray as xr

from data_pipeline.figures.histograms import draw_histograms
from data_pipeline.figures.maps import draw_fields, draw_observations
from data_pipeline.inspection.coverage import coverage
from data_pipeline.inspection.summary import histograms

__all__ = ["draw_fields", "draw_histograms", "draw_observations", "draw_store"]


def draw_store(
    ds: xr.Dataset, folder: Path, numbers: dict[str, dict[str, float]], cell_degrees: float | None = None
) -> list[Path]:
    """Draw coverage, of what lies on the globe, and histograms of a store to `folder`; numbers: of `statistics`.

    Returns the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    units = {str(name): str(ds[name].attrs.get("units", "")) for name in ds.data_vars}
    drawn = draw_histograms(histograms(ds, numbers), units, folder / "histograms.png")
    if ds.attrs["dino_store"] == "trajectories":  # which lie nowhere on the globe
        return [drawn]
    draw = draw_observations if ds.attrs["dino_store"] == "observations" else draw_fields
    return [draw(coverage(ds, cell_degrees), folder / "coverage.png"), drawn]
