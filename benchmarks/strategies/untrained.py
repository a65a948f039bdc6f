"""A run that has seen no simulation: the architecture of another one, its decoder as it was drawn."""

import copy

import torch

from dino.forecaster import Forecaster
from dino.model.latent import build_decoder
from dino.space.decoders import FourierDecoder
from dino.training.principal_axes import principal_axes

POINTS = 1024  # of a tile, by which modes are compared
UNRESOLVED = (
    0.1  # of the field's variance: what modes that nothing has chosen are taken to leave out, until it is fitted
)
OFFSET = 0.1  # standard deviation of the field at a code of zero over that of the population's


def untrained(forecaster: Forecaster, seed: int) -> Forecaster:
    """The same ocean and settings with modes that chance has made, none of a simulation's numbers left.

    The modes are ordered by how much of the field they make, and the population has a field of variance one, as tiles
    are normalised. The dynamics stay and mean nothing: only what puts others in their place may use it.
    """
    latent = copy.deepcopy(forecaster.latent)
    spec = latent.spec
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        decoder = build_decoder(spec.decoder, spec.input_size, spec.channels).double()
        assert isinstance(decoder, FourierDecoder)
        points = 2 * torch.rand(POINTS, spec.input_size, dtype=torch.float64) - 1
        decoder.shift_bias.mul_(OFFSET / decoder.basis(points).offset.square().mean().sqrt())
        modes = decoder.basis(points).modes.flatten(0, 1)
        size = decoder.code_size
        axes = principal_axes(modes.T @ modes / len(modes), torch.zeros(size), torch.eye(size))
        decoder.change_codes(axes.transform, axes.origin)
        power = decoder.basis(points).modes.square() @ axes.variance
        latent.decoder.load_state_dict(decoder.to(latent.code_variance).state_dict())
        latent.code_variance.copy_(axes.variance / power.mean())
        latent.unresolved_variance.fill_(UNRESOLVED)
        latent.unresolved_error.fill_(UNRESOLVED)
    return Forecaster(latent.eval(), forecaster.ocean, forecaster.assimilation)
