"""The workload of the decoder benchmarks: smooth random fields on a periodic grid, and a decoder of DINo's sizes."""

import numpy as np
import torch
from torch import Tensor

from data_pipeline.layout.globe import EARTH_RADIUS_KM
from dino.space.decoders import FourierDecoder
from dino.space.domain import PeriodicBox
from dino.training.variable_projection import project

GRID, CODE, HIDDEN, LAYERS = 64, 100, 64, 3
LENGTH_KM = 1000.0
RIDGE = 1e-2


def coordinates() -> Tensor:
    """Decoder coordinates (point, 4) of a 64 x 64 periodic grid."""
    box = PeriodicBox(length_km=(LENGTH_KM, LENGTH_KM))
    degrees = np.rad2deg((np.arange(GRID) / GRID - 0.5) * LENGTH_KM / EARTH_RADIUS_KM)
    latitude, longitude = np.meshgrid(degrees, degrees, indexing="ij")
    return torch.as_tensor(box.coordinates(longitude.ravel(), latitude.ravel()), dtype=torch.float32)


def smooth_fields(count: int, seed: int) -> Tensor:
    """Random fields (count, point, 1) of unit variance whose energy falls off as a Gaussian of the wavenumber."""
    generator = torch.Generator(torch.get_default_device()).manual_seed(seed)
    wave = torch.fft.fftfreq(GRID, 1 / GRID)
    envelope = torch.exp(-(wave[:, None] ** 2 + wave[None, :] ** 2) / (2 * 2.0**2))
    envelope[0, 0] = 0.0
    noise = torch.fft.fft2(torch.randn(count, GRID, GRID, generator=generator))
    fields = torch.fft.ifft2(noise * envelope).real
    return (fields / fields.std()).reshape(count, GRID * GRID, 1)


def decoder() -> FourierDecoder:
    """A fresh decoder: code 100, hidden 64, three layers, one channel."""
    return FourierDecoder(4, CODE, channels=1, hidden=HIDDEN, layers=LAYERS)


def train(network: FourierDecoder, points: Tensor, fields: Tensor, steps: int, frames: int = 256) -> None:
    """Train a decoder by variable projection on random maps, one-cycle Adam to 1e-2 as the field stage does."""
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=steps + 1)
    weights = torch.ones(1, len(points), 1)
    for _ in range(steps):
        batch = fields[torch.randint(len(fields), (1, frames))]
        objective = project(network.basis(points), batch, weights, RIDGE).objective
        optimiser.zero_grad(set_to_none=True)
        objective.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
