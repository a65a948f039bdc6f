"""Draws of charts that agree where the charts overlap.

Charts are analysed apart, and draws of their codes apart would differ where two of them hold the same water. They are
drawn in turn instead, colour by colour, no two charts of a colour overlapping. What a chart would say of its
neighbours' draws, by least squares at places in their common part, is taken as far as its own covariance allows, and
chance fills up what is left of that: whatever the neighbours are, a chart's draws have its own covariance. Charts that
do not overlap are drawn apart.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..model import LatentModel, Ocean
from ..numerics.gaussian import cholesky
from ..space.cover import Cover
from ..space.decoders import at_points
from ..space.jets import bounds

LINKS = 7  # places a side of a chart at which it is compared with its neighbours
DISAGREEMENT = 0.05  # share of a chart's own variance by which neighbours may miss each other
FEWEST_DRAWS = 2  # a direction
TOGETHER = 16  # charts of a colour that are drawn at once: memory is bounded by them
Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Colour:
    """Charts that are drawn together, and what they are compared with.

    chart : (chart,); own : (chart, value, code) modes at their places in physical size
    neighbour : (pair,) charts drawn before, modes : (pair, channel, code) theirs, share : (pair,) weights that sum to
    one at a place, slot : (pair,) chart * place; linked : (chart, value) where there is a neighbour
    """

    chart: Tensor
    own: Tensor
    neighbour: Tensor
    modes: Tensor
    share: Tensor
    slot: Tensor
    linked: Tensor


class Coherence:
    """The overlaps of an ocean's charts, from which any number of draws are made."""

    def __init__(self, latent: LatentModel, ocean: Ocean) -> None:
        self.latent, self.ocean = latent, ocean
        self.colours = list(self._colours())

    def draw(self, root: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """(member, chart, direction) standard normal numbers, through roots coherent.

        root : (time, chart, code, direction) of the codes' covariances; neighbours are made to agree at all times
        """
        charts, directions = root.shape[1], root.shape[-1]
        # Covariances of draws are estimated from the draws themselves, more of which are made where few are wanted.
        members = max(count, FEWEST_DRAWS * directions)
        made = root.new_zeros(members, charts, directions)
        for colour in self.colours:
            shape = members, len(colour.chart), directions
            free = torch.randn(shape, generator=generator, dtype=torch.float64).to(root)
            made[:, colour.chart] = self._agreeing(colour, root, made, free) if len(colour.neighbour) else free
        return made[:count]

    def _agreeing(self, colour: "_Colour", root: Tensor, made: Tensor, free: Tensor) -> Tensor:
        """Numbers (member, chart, direction) of some charts, from those of their neighbours and from chance."""
        members, charts = free.shape[:2]
        own = torch.einsum("cvk,tckd->ctvd", colour.own, root[:, colour.chart])
        theirs = torch.einsum("pvk,tpkd->tpvd", colour.modes, root[:, colour.neighbour]) * colour.share[:, None, None]
        values = torch.einsum("tpvd,mpd->mtpv", theirs, made[:, colour.neighbour])
        times, width = values.shape[1], values.shape[-1]
        target = values.new_zeros(members, times, colour.linked.numel() // width, width)
        target.index_add_(2, colour.slot, values)
        target = target.unflatten(2, (charts, -1)).permute(0, 2, 1, 3, 4).flatten(2)
        linked = colour.linked.repeat(1, times)
        return _filled_up(_regressed(own.flatten(1, 2) * linked.unsqueeze(-1), target * linked), free)

    def _colours(self):
        ocean, cover, like = self.ocean, self.ocean.cover, self.latent.code_variance
        longitude, latitude = _places(cover)
        size = longitude.shape[1]
        pairs = cover.pairs(longitude.ravel(), latitude.ravel())
        home = pairs.point // size
        coordinates = torch.as_tensor(pairs.coordinates).to(like)
        colour = _coloured(len(cover.charts), home, pairs.chart)
        scale = torch.as_tensor(ocean.scale).to(like)
        parts = [
            (number, part)
            for number in range(int(colour.max()) + 1)
            for whole in [np.flatnonzero(colour == number)]
            for part in np.array_split(whole, -(-len(whole) // TOGETHER))
        ]
        for number, mine in parts:
            place = np.full(len(colour), -1)
            place[mine] = np.arange(len(mine))
            slot = place[home] * size + pairs.point % size
            here = np.flatnonzero((place[home] >= 0) & (pairs.chart == home))
            before = np.flatnonzero((place[home] >= 0) & (colour[pairs.chart] < number))
            if not len(before):
                nothing = like.new_zeros(0)
                yield _Colour(torch.as_tensor(mine), nothing, nothing.long(), nothing, nothing, nothing.long(), nothing)
                continue
            modes = self._modes(coordinates[torch.as_tensor(here)])
            own = modes * scale[torch.as_tensor(pairs.chart[here])][:, :, None]
            whole = own.new_zeros(len(mine) * size, *own.shape[1:])
            whole[torch.as_tensor(slot[here])] = own
            theirs = self._modes(coordinates[torch.as_tensor(before)])
            theirs = theirs * scale[torch.as_tensor(pairs.chart[before])][:, :, None]
            total = np.bincount(slot[before], pairs.weight[before], len(mine) * size)
            linked = torch.as_tensor(total > 0).view(len(mine), size)
            yield _Colour(
                torch.as_tensor(mine), whole.view(len(mine), -1, own.shape[-1]), torch.as_tensor(pairs.chart[before]),
                theirs, torch.as_tensor(pairs.weight[before] / total[slot[before]]).to(like),
                torch.as_tensor(slot[before]), linked.repeat_interleave(own.shape[1], dim=1),
            )  # fmt: skip

    def _modes(self, coordinates: Tensor) -> Tensor:
        """(place, channel, code) modes about the population's mean code."""
        codes = self.latent.code_variance.new_zeros(len(coordinates), self.latent.decoder.code_size)
        return at_points(self.latent.decoder, coordinates, codes).modes


def _regressed(own: Tensor, target: Tensor) -> Tensor:
    """Numbers (member, chart, direction) that make values (member, chart, value); `own` : (chart, value, direction)."""
    power = own.square().sum(-1)
    error = DISAGREEMENT * power + 1e-6 * power.amax(-1, keepdim=True).clamp_min(1e-30)
    covariance = own @ own.mT + torch.diag_embed(error)
    solved = torch.cholesky_solve(target.permute(1, 2, 0), cholesky(covariance))
    return torch.einsum("cvd,cvm->mcd", own, solved.to(own))


def _filled_up(said: Tensor, free: Tensor) -> Tensor:
    """Numbers (member, chart, direction) of unit covariance: what is said, as far as it goes, and chance beside it."""
    covariance = torch.einsum("mci,mcj->cij", said, said).double() / len(said)
    size, axes = torch.linalg.eigh(covariance)
    kept = size.clamp(1e-12, None)
    shrunk = (kept.clamp_max(1.0) / kept).sqrt()
    left = (1.0 - kept).clamp_min(0.0).sqrt()
    parts = []
    for part, share in ((said, shrunk), (free, left)):
        turn = (axes * share.unsqueeze(-2)) @ axes.mT
        parts.append(torch.einsum("cij,mcj->mci", turn.to(part), part))
    return parts[0] + parts[1]


def _places(cover: Cover) -> tuple[Array, Array]:
    """(chart, place) longitudes and latitudes of a lattice inside every chart."""
    share = (np.arange(LINKS) + 0.5) / LINKS
    found = []
    for chart in cover.charts:
        low, high = bounds(chart)
        east, north = (low[axis] + share * (high[axis] - low[axis]) for axis in (0, 1))
        found.append([part.ravel() for part in np.meshgrid(east, north)])
    longitude, latitude = np.array(found).transpose(1, 0, 2)
    return longitude, latitude


def _coloured(charts: int, one: NDArray, other: NDArray) -> NDArray[np.int64]:
    """(chart,) colours such that charts of a pair (one, other) have different ones, each the first that is free."""
    neighbours: list[set[int]] = [set() for _ in range(charts)]
    for a, b in np.unique(np.stack([one, other], axis=1), axis=0).tolist():
        if a != b:
            neighbours[a].add(b)
            neighbours[b].add(a)
    colour = np.full(charts, -1, np.int64)
    for chart in range(charts):
        taken = {int(colour[near]) for near in neighbours[chart]}
        colour[chart] = next(number for number in range(charts + 1) if number not in taken)
    return colour
