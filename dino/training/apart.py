"""Codes that some channels have for themselves while a decoder is trained.

Modes trained for several channels at once share their number among them: temperature, whose fronts are finer than what
sea level shows, takes modes that sea level wants. Here the network falls in parts that know nothing of each other, each
with channels, codes and hidden units of its own. Afterwards codes turn to the axes of the population as always, in
which what channels have in common stands.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..config import DecoderConfig
from ..space.decoders import FourierDecoder


class Part(NamedTuple):
    """Channels of a decoder and the number of codes that they have for themselves."""

    channels: Sequence[int]
    codes: int


def parts_of(config: DecoderConfig, channels: int, tracers: int) -> list[Part]:
    """The flow, whose channels are the first and those after the tracers; each tracer; none if codes are shared."""
    if not config.tracer_codes:
        return []
    flow = [0, *range(1 + tracers, channels)]
    parts = [Part(flow, config.code_size - tracers * config.tracer_codes)]
    return parts + [Part([1 + tracer], config.tracer_codes) for tracer in range(tracers)]


@torch.no_grad()
def fall_apart(decoder: FourierDecoder, parts: Sequence[Part]) -> None:
    """Set the weights between parts to zero and make the others as large as those of decoders of these sizes."""
    for weight, mask in masks(decoder, parts):
        weight.mul_(mask)
    for weight in (decoder.mixing, decoder.readout):
        weight.mul_(len(parts) ** 0.5)
    first = 0
    for part in parts:
        decoder.shift[..., first : first + part.codes] *= (decoder.code_size / part.codes) ** 0.5
        first += part.codes


def masks(decoder: FourierDecoder, parts: Sequence[Part]) -> list[tuple[nn.Parameter, Tensor]]:
    """Weights between hidden units, codes and channels, each with ones where both are of one part, zeros elsewhere."""
    half, count = decoder.hidden // 2, len(parts)
    # Units come as sines and then cosines of the same frequencies.
    unit = (torch.arange(half) * count // half).repeat(2)
    code = torch.repeat_interleave(torch.arange(count), torch.tensor([part.codes for part in parts]))
    channel = torch.empty(decoder.channels, dtype=torch.long)
    for number, part in enumerate(parts):
        channel[list(part.channels)] = number
    pairs = ((decoder.mixing, unit, unit), (decoder.shift, unit, code), (decoder.readout, channel, unit))
    return [(weight, (rows[:, None] == columns).to(weight)) for weight, rows, columns in pairs]
