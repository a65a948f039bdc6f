"""DINo's test protocol: see the first frame of every test sequence, forecast the rest, score inside and outside.

In-t are the leads that training had of its own sequences, Out-t those beyond; In-s are the cells that are seen in the
first frame, Out-s all others (Yin et al., ICLR 2023, section 5).
"""

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from data_pipeline.layout.globe import mesh

from ..data.maps import Maps, open_maps
from ..dynamics import check_finite
from ..errors import EmptyDataError
from ..forecaster import Forecaster
from ..inference.encode import encode_frames
from ..space.decoders import decode

SEQUENCES = 8  # decoded together
LEAD_SLACK = 1e-6  # days


@dataclass(frozen=True)
class SequenceScores:
    """Mean squared errors in the squared units of each channel.

    leads : (frame,) days; by_frame : (frame, channel) over all cells; inside, outside : the same over the cells seen
    and not seen, NaN where there are none; variance : (channel,) of the truth; trained_days : longest lead of In-t
    """

    leads: NDArray[np.float64]
    by_frame: NDArray[np.float64]
    inside: NDArray[np.float64]
    outside: NDArray[np.float64]
    variance: NDArray[np.float64]
    trained_days: float

    def table(self) -> dict[str, list[float]]:
        """In-t and Out-t, a number for each channel: over all cells, then In-s and Out-s where there are both."""
        early = self.leads <= self.trained_days + LEAD_SLACK
        parts = {"": self.by_frame, "_in_s": self.inside, "_out_s": self.outside}
        if not np.isfinite(self.outside).all():
            parts = {"": self.by_frame}
        return {
            span + part: [float(value) for value in errors[frames].mean(0)]
            for span, frames in {"in_t": early, "out_t": ~early}.items()
            for part, errors in parts.items()
            if frames.any()
        }


def score_sequences(
    forecaster: Forecaster,
    dataset: xr.Dataset,
    seen: NDArray[np.bool_],
    trained_days: float,
    initial: xr.Dataset | None = None,
) -> SequenceScores:
    """Score forecasts of every sequence of a field dataset from its first frame at the `seen` cells (row, column).

    initial : where the first frames are seen, if not in `dataset` itself: the same sequences on another grid, to which
    `seen` then belongs. Raises `EmptyDataError` when nothing is seen, `NonFiniteError` when a forecast blows up.
    """
    if not seen.any():
        raise EmptyDataError("no cell is seen in the first frame; keep more of them")
    names = list(forecaster.ocean.names)
    maps = open_maps(dataset, names).loaded()
    start = maps if initial is None else open_maps(initial.isel(time=[0]), names).loaded()
    leads = maps.times - maps.times[0]
    states = forecast_states(forecaster, start, start.values[:, 0], seen, leads)
    codes = forecaster.latent.dynamics.codes(states)
    squares = np.zeros((len(leads), len(names), *maps.values.shape[-2:]))
    for first in range(0, len(maps.values), SEQUENCES):
        part = slice(first, first + SEQUENCES)
        squares += np.square(fields_of(forecaster, maps, codes[:, part]) - maps.values[part], dtype=np.float64).sum(0)
    squares /= len(maps.values)
    nothing = np.full(squares.shape[:2], np.nan)
    split = initial is None and not seen.all()
    return SequenceScores(
        leads=leads,
        by_frame=squares.mean((-2, -1)),
        inside=squares[..., seen].mean(-1) if split else nothing,
        outside=squares[..., ~seen].mean(-1) if split else nothing,
        variance=maps.values.var(axis=(0, 1, 3, 4), dtype=np.float64),
        trained_days=trained_days,
    )


@torch.no_grad()
def forecast_states(
    forecaster: Forecaster, maps: Maps, first: NDArray, seen: NDArray[np.bool_], leads: NDArray[np.float64]
) -> Tensor:
    """States (lead, sequence, state) `leads` days after first frames (sequence, channel, row, column).

    Only the `seen` cells of `first` are looked at. The state is the posterior of the first frame alone: a model of
    order two begins at the population's mean tendency, as nothing tells it more.
    """
    latent, ocean = forecaster.latent, forecaster.ocean
    places = _places(maps)
    coordinates = _coordinates(forecaster, places)
    cells = np.flatnonzero(seen)
    values = np.moveaxis(first.reshape(*first.shape[:2], -1), 1, 2)
    anomaly = ((values - ocean.background.at(*places)) / ocean.scale[0])[:, cells]
    near = coordinates[torch.as_tensor(cells, device=coordinates.device)]
    variance = latent.spec.noise_variance
    codes = encode_frames(latent.decoder, near, coordinates.new_tensor(anomaly), variance, latent.code_prior).mean
    rest = codes.new_zeros(len(codes), latent.dynamics.state_size - codes.shape[-1])
    times = torch.as_tensor(leads, device=codes.device).to(codes)
    start = torch.cat([codes, rest], -1)
    return check_finite(latent.integrate(start, times, latent.context(ocean)[:1]), times)


@torch.no_grad()
def fields_of(forecaster: Forecaster, maps: Maps, codes: Tensor) -> NDArray[np.float32]:
    """Fields (sequence, frame, channel, row, column) of codes (frame, sequence, code) on the grid of `maps`."""
    places, ocean = _places(maps), forecaster.ocean
    decoded = decode(forecaster.latent.decoder, _coordinates(forecaster, places), codes).movedim(0, 1).cpu().numpy()
    made = decoded * ocean.scale[0] + ocean.background.at(*places)
    rows = maps.values.shape[-2:]
    return np.moveaxis(made, -1, 2).reshape(*made.shape[:2], made.shape[-1], *rows).astype(np.float32)


def _coordinates(forecaster: Forecaster, places: tuple[NDArray, NDArray]) -> Tensor:
    """Decoder coordinates (cell, input) on the only chart: computed in float64, cast last."""
    exact = forecaster.ocean.cover.charts[0].coordinates(*places)
    return torch.as_tensor(exact, device=forecaster.latent.device).to(forecaster.latent.code_variance)


def _places(maps: Maps) -> tuple[NDArray, NDArray]:
    """Longitudes and latitudes (cell,) of the grid."""
    longitude, latitude = mesh(maps.longitude, maps.latitude)
    return longitude.ravel(), latitude.ravel()
