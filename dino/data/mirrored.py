"""Boxes with edges that nothing passes, made periodic: each axis that is not is continued by its own mirror image.

A field whose derivative across an edge is zero is an even function about it, and so is all that even operators make of
it. The edge lies half a cell beyond the first and the last point, as of cells whose middles these are.
"""

from collections.abc import Iterable

import numpy as np
import xarray as xr

from data_pipeline.layout.trajectories import AXES

from ..dynamics.terms import Monomial, Term
from ..errors import ConfigError


def edges_of(trajectories: xr.Dataset) -> tuple[str, ...]:
    """The axes that are not periodic."""
    closed = np.atleast_1d(trajectories.attrs["periodic"])
    axes = AXES[len(np.atleast_1d(trajectories.attrs["lengths"]))][::-1]  # x first, as lengths are
    return tuple(axis for axis, wraps in zip(axes, closed, strict=True) if not wraps)


def mirrored(trajectories: xr.Dataset) -> xr.Dataset:
    """The dataset on a periodic box, twice as long along axes with edges; itself where there is none."""
    edges = edges_of(trajectories)
    if not edges:
        return trajectories
    lengths = dict(zip(AXES[2][::-1], map(float, np.atleast_1d(trajectories.attrs["lengths"])), strict=False))
    made = trajectories.drop_vars(edges, errors="ignore")
    for axis in edges:
        size = made.sizes[axis]
        made = xr.concat([made, made.isel({axis: slice(None, None, -1)})], axis, data_vars="all", coords="minimal")
        lengths[axis] *= 2 * size / max(size - 1, 1)  # from the first middle to the last one cell is missing
    about = {"lengths": list(lengths.values()), "periodic": [1] * len(lengths)}
    return made.assign_attrs(trajectories.attrs | about)


def cropped(forecast: xr.Dataset, like: xr.Dataset) -> xr.Dataset:
    """A forecast on the mirrored box of `like`, on its own box."""
    edges = edges_of(like)
    if not edges:
        return forecast
    made = forecast.isel({axis: slice(0, like.sizes[axis]) for axis in edges})
    made = made.assign_coords({axis: like[axis] for axis in edges if axis in like.coords})
    return made.assign_attrs({name: like.attrs[name] for name in ("lengths", "periodic")})


def is_even(term: Term, edges: Iterable[str]) -> bool:
    """Whether a term makes of fields that are even about the edges of these axes one that is."""
    return all(
        sum(name.count(axis) for name in _operators(monomial)) % 2 == 0 for monomial in term.monomials for axis in edges
    )


def check_even(terms: Iterable[Term], edges: tuple[str, ...]) -> None:
    """Raise ConfigError for a candidate that has no mirror symmetry about the edges, or a forcing wave that may not."""
    for term in terms:
        waves = any(factor.harmonic for monomial in term.monomials for factor in monomial.factors)
        if edges and (waves or not is_even(term, edges)):
            raise ConfigError(
                f"candidate {term.text!r} is not even in {', '.join(edges)}, where nothing passes the box's edges; "
                "leave it out, or give a periodic box"
            )


def _operators(monomial: Monomial) -> list[str]:
    """Names of a monomial's derivatives and of those of its stream functions."""
    named = [monomial.outer, *(factor.operator for factor in monomial.factors if not factor.harmonic)]
    return [name for name in named if name[:1] in "dp" and set(name[1:]) <= {"x", "y"}]
