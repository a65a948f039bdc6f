"""Channels that simulations know and nobody observes: what a finished run keeps of them is in its dynamics."""

from dataclasses import replace

import torch

from .latent import LatentModel
from .ocean import Ocean

_BY_CHANNEL = {"unresolved_error": 1, "unresolved_variance": 0, "spread_factor": 2}
_READOUT = ("decoder.readout", "decoder.readout_bias")


@torch.no_grad()
def without_hidden(model: LatentModel, ocean: Ocean, shown: int) -> tuple[LatentModel, Ocean]:
    """A model and its ocean with the first `shown` channels alone; the same objects where these are all.

    Codes, dynamics and their statistics stay: codes still say what the hidden channels are.
    """
    if shown == len(ocean.channels):
        return model, ocean
    found = LatentModel(model.spec.model_copy(update={"channels": shown}))
    state = dict(model.state_dict())
    for name, axis in _BY_CHANNEL.items():
        state[name] = state[name].narrow(axis, 0, shown).clone()
    for name in _READOUT:
        state[name] = state[name][:shown].clone()
    found.load_state_dict(state)
    background = replace(ocean.background, values=ocean.background.values[:shown])
    return found.to(model.device), Ocean(ocean.channels[:shown], ocean.cover, background)
