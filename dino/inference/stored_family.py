"""A family of environments as tensors and plain values, and back."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from ..dynamics.primitives import Modes, Primitives
from ..errors import CheckpointError, ConfigError
from ..space.harmonics import Harmonics, NoSpace
from .family import Family, Prior

WHOLE = {"primitives", "prior"}  # fields that are objects of their own; all others are tensors and numbers


def described(family: Family) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name, and what else there is as values for JSON."""
    modes, rest = family.primitives.modes, [each.name for each in fields(Family) if each.name not in WHOLE]
    values = {name: getattr(family, name) for name in rest}
    tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
    tensors |= _prior_tensors("prior", family.prior)
    box = {"lengths": list(modes.lengths), "sizes": list(modes.sizes), "degree": modes.degree}
    content = {"channels": list(modes.channels), **box, "terms": [term.text for term in family.primitives.terms]}
    return tensors, {**content, "numbers": {name: value for name, value in values.items() if name not in tensors}}


def restored(tensors: Mapping[str, Tensor], content: Mapping[str, Any]) -> Family:
    """The family that `described` made these of; CheckpointError where they are no family of this version."""
    try:
        modes = _modes(content)
        if tuple(tensors["noise"].shape) != (modes.blocks, len(modes.channels)):
            raise CheckpointError("its noise is of other waves than its grid has; fit and save anew")
        prior = _prior("prior", tensors)
        if prior.mean.shape != (len(content["terms"]),) or prior.root.shape[:1] != prior.mean.shape:
            raise CheckpointError("its prior is of another number of terms than it names; fit and save anew")
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            raise CheckpointError("its tensors have missing values; fit and save anew")
        rest = {name: tensor for name, tensor in tensors.items() if "." not in name}
        return Family(Primitives(modes, content["terms"]), prior, **rest, **content["numbers"])
    except (KeyError, TypeError, AttributeError, ConfigError) as error:
        raise CheckpointError(f"this is no family of this version ({error}); fit and save anew") from error


def _prior_tensors(name: str, prior: Prior) -> dict[str, Tensor]:
    made = {f"{name}.mean": prior.mean, f"{name}.root": prior.root, f"{name}.sign": prior.sign}
    return made if prior.plain is None else made | _prior_tensors(f"{name}.plain", prior.plain)


def _prior(name: str, tensors: Mapping[str, Tensor]) -> Prior:
    plain = _prior(f"{name}.plain", tensors) if f"{name}.plain.mean" in tensors else None
    return Prior(tensors[f"{name}.mean"], tensors[f"{name}.root"], tensors[f"{name}.sign"], plain)


def _modes(content: Mapping[str, Any]) -> Modes:
    channels, sizes = tuple(content["channels"]), tuple(content["sizes"])
    if not sizes:
        return NoSpace(channels)
    return Harmonics(channels, tuple(content["lengths"]), sizes, content["degree"])
