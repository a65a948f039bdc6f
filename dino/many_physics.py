"""Many physics together: one decoder, one list of terms and one prior over several systems on one box.

physics = dino.fit({"heat": heat, "waves": waves})   # datasets of trajectories, each with environments
adapted = physics.adapt(prompt)                       # which physics it is, and with which coefficients
adapted.systems(), adapted.coefficients(), adapted.forecast(prompt.isel(time=[-1]), later)

The prior is a mixture of Gaussians, one of each system, and of compositions: terms of all of them put together. A
channel is a role of the field: systems of one channel share the first, and know nothing of a second.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, overload

import numpy as np
import torch
import xarray as xr

from data_pipeline.system.atomic import writing_file

from .config import PhysicsConfig
from .data.trajectories import frames_of
from .dynamics.terms import library, parse_terms
from .errors import CheckpointError, ConfigError, MissingFileError, NonFiniteError, ObservationError, SchemaError
from .inference.composition import Vocabulary, of_integrals
from .inference.instants import instants
from .inference.recognition import COMPOSITION, Option, options_of, responsibilities, screened
from .inference.scattered import adapt_scattered
from .inference.scattered_points import from_states, points_of
from .inference.transitions import Frames
from .numerics.modes import without_gradients
from .physics import MOST_MISFIT, Adapted, Physics, load_physics

ITERATIONS = 2  # of Gauss and Newton, in each of two rounds
HAS = 1e-2  # share of a channel's changes that a term alone makes in a system that has it
EXACT = 1e-3  # share of a coefficient that is the least of its spread over systems


@overload
def fit(trajectories: xr.Dataset, config: PhysicsConfig | None = None) -> Physics: ...


@overload
def fit(
    trajectories: Mapping[str, xr.Dataset] | Sequence[xr.Dataset], config: PhysicsConfig | None = None
) -> "ManyPhysics": ...


def fit(
    trajectories: xr.Dataset | Mapping[str, xr.Dataset] | Sequence[xr.Dataset], config: PhysicsConfig | None = None
) -> "Physics | ManyPhysics":
    """Learn what the environments of a dataset of trajectories have in common; of several datasets, one of each
    system, by name or in a list, what the systems have in common as well.

    Raises what `Physics.fit` raises, and SchemaError where systems are not on one box.
    """
    config = config or PhysicsConfig()
    if isinstance(trajectories, xr.Dataset):
        return Physics.fit(trajectories, config)
    named = trajectories if isinstance(trajectories, Mapping) else {f"system{n}": d for n, d in enumerate(trajectories)}
    return ManyPhysics.fit(named, config)


@dataclass(frozen=True)
class ManyPhysics:
    """Systems by name, each a component of the prior, and the terms of each that move its fields."""

    members: dict[str, Physics]
    has: dict[str, dict[str, bool]]

    @classmethod
    @without_gradients
    def fit(cls, datasets: Mapping[str, xr.Dataset], config: PhysicsConfig) -> "ManyPhysics":
        """See `fit`. Terms with a channel that a system has not are left out of its component."""
        if not datasets or COMPOSITION in datasets:
            raise ConfigError(f"systems {list(datasets)} came; give one or more, none of them named {COMPOSITION!r}")
        members, has = {}, {}
        texts = candidates_of_all(datasets, config)
        for name, dataset in datasets.items():
            own = restricted(texts, tuple(map(str, dataset.data_vars)))
            sizes = {text: size for text, size in config.sizes.items() if text in own}
            member = Physics.fit(dataset, config.model_copy(update={"candidates": own, "sizes": sizes}))
            first = next(iter(members.values()), member)
            if member.lengths != first.lengths or member.edges != first.edges or member.edges:
                raise SchemaError(
                    f"{name} is on a box of {member.lengths} where the first system is on {first.lengths}; "
                    "give systems on one periodic box"
                )
            members[name], has[name] = member, moved(member, dataset)
        return cls(members, has)

    def terms(self, channels: Sequence[str]) -> list[str]:
        """The candidates of a system with these channels."""
        return next(iter(self.components(channels).values())).terms

    def components(self, channels: Sequence[str]) -> dict[str, Physics]:
        """The systems with these channels; SchemaError where there is none."""
        made = {n: p for n, p in self.members.items() if set(p.family.primitives.modes.channels) == set(channels)}
        if not made:
            known = sorted({p.family.primitives.modes.channels for p in self.members.values()})
            raise SchemaError(f"channels {sorted(channels)} came where systems have {known}; rename them")
        return made

    def vocabulary(self, channels: Sequence[str]) -> Vocabulary:
        """What all systems taught of the terms of systems with these channels."""
        rows = []
        for text in self.terms(channels):
            of = [(n, p.terms.index(text), p.family.prior) for n, p in self.members.items() if text in p.terms]
            found = [(float(q.central[place]), float(q.spread[place])) for n, place, q in of if self.has[n][text]]
            if not found:
                rows.append((0.0, 0.0, 0.0))
                continue
            mean, spread = np.array(found).T
            width = float(np.sqrt((spread**2).mean() + mean.var()))
            rows.append((len(found) / len(of), float(mean.mean()), max(width, EXACT * abs(float(mean.mean())))))
        share, mean, spread = torch.tensor(rows, dtype=torch.float64).T
        return Vocabulary(share, mean, spread)

    @without_gradients
    def adapt(
        self, trajectories: xr.Dataset, iterations: int = ITERATIONS, compose: bool | None = None
    ) -> "AdaptedMany":
        """Which system each environment of a dataset is of, and its coefficients; on any grid, with errors or none.

        iterations : of Gauss and Newton, in each of two rounds between which errors of observation are estimated
        compose : whether terms of all systems are put together as well; when None where no system explains the frames
        Raises SchemaError where no system has these channels, and what `Physics.adapt` raises.
        """
        members = self.components([str(name) for name in trajectories.data_vars])
        words = self.vocabulary([str(name) for name in trajectories.data_vars])
        made = []
        for number in np.unique(trajectories["environment"].values):
            part = trajectories.isel(trajectory=np.flatnonzero(trajectories["environment"].values == number))
            first = next(iter(members.values()))
            part = first._checked(part)  # pyright: ignore[reportPrivateUsage]
            _, states, times = frames_of(part, first.family.primitives.modes)
            families = {name: member.family for name, member in members.items()}
            options, known = options_of(families, Frames(states, times), words, iterations, compose)
            shares = responsibilities(options)
            best = max(shares, key=lambda name: shares[name])
            made.append(self._environment(int(number), best, options[best], known or best == COMPOSITION, shares))
        return AdaptedMany(tuple(made))

    def _environment(
        self, number: int, name: str, option: Option, known: bool, shares: dict[str, float]
    ) -> "Environment":
        """What was found of one environment."""
        components = self.components(option.family.primitives.modes.channels)
        member = components.get(name) or next(iter(components.values()))
        weights = member.family.primitives.modes.weights[:, None]
        reach = torch.maximum(member.reach, (weights * option.frames.states.abs().square()).sum(-2).amax((0, 1, 2)))
        own = replace(member, family=option.family, reach=reach, lacking=0.0)
        share = torch.tensor([option.share], dtype=torch.float64)
        within = torch.tensor([known])
        return Environment(Adapted(own, np.array([number]), option.posterior, share, within=within), name, shares)

    @without_gradients
    def adapt_points(self, points: xr.Dataset, error: float | None = None) -> "AdaptedMany":
        """The same from sparse, irregular observations; see `Physics.adapt_points`.

        Where there are many at each of a few times, states there tell which components are worth a window; elsewhere
        all are. Raises ObservationError for columns that are missing or no numbers.
        """
        every = {c for p in self.members.values() for c in p.family.primitives.modes.channels}
        seen = [name for name in every if name in points.data_vars]
        if not seen:
            raise ObservationError(f"points have none of the channels {', '.join(sorted(every))}; give one of them")
        members, made = self.components(seen), []
        first = next(iter(members.values()))
        modes = first.family.primitives.modes
        families = {name: member.family for name, member in members.items()}
        centre = torch.stack([f.centre for f in families.values() if f.centre is not None]).mean(0)
        population = torch.stack([f.population for f in families.values() if f.population is not None]).amax(0)
        for number, given in points_of(points, modes, error):
            frames, begins = instants(modes, given, centre, population), {}
            if frames is not None:
                begins = screened(families, frames)
            chosen = list(begins) or list(families)
            found = {}
            for name in chosen:
                begin = None
                if frames is not None and len(torch.unique(given.trajectory)) == 1:
                    begin = (begins[name], frames.states[0, :, 0])
                try:
                    found[name] = adapt_scattered(families[name], given, begin)
                except NonFiniteError:
                    # A component that is not the system's may lead nowhere; all of them must not.
                    if name == chosen[-1] and not found:
                        raise
            logs = torch.tensor([each.evidence for each in found.values()], dtype=torch.float64)
            shares = dict(zip(found, torch.softmax(logs, 0).tolist(), strict=True))
            best = max(shares, key=lambda name: shares[name])
            own, member = found[best], members[best]
            start = (from_states(modes, own.states, own.time, member.lengths, number),)
            share = member.limit * own.posterior.misfit / MOST_MISFIT
            adapted = Adapted(replace(member, lacking=0.0), np.array([number]), own.posterior, share, start)
            made.append(Environment(adapted, best, shares))
        return AdaptedMany(tuple(made))

    def save(self, folder: Path | str) -> None:
        """Write a folder of each system, and `many.json`; see `load_many_physics`."""
        for name, member in self.members.items():
            member.save(Path(folder) / name)
        with writing_file(Path(folder) / "many.json") as partial:
            partial.write_text(json.dumps({"has": self.has}, indent=1) + "\n", encoding="utf-8")


def load_many_physics(folder: Path | str) -> ManyPhysics:
    """What `ManyPhysics.save` wrote; MissingFileError where there is none, CheckpointError where it is not whole."""
    path = Path(folder) / "many.json"
    if not path.is_file():
        raise MissingFileError(f"{folder} holds no many physics: it has no many.json; give a folder one was saved to")
    try:
        has = json.loads(path.read_text(encoding="utf-8"))["has"]
        members = {name: load_physics(Path(folder) / name) for name in has}
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged; save anew") from error
    return ManyPhysics(members, has)


@dataclass(frozen=True)
class Environment:
    """One environment that was adapted to: the most probable component, and the probability of every one."""

    adapted: Adapted
    system: str
    responsibility: dict[str, float]


@dataclass(frozen=True)
class AdaptedMany:
    """Environments of several systems; each is forecast with its most probable component."""

    environments: tuple[Environment, ...]

    @property
    def numbers(self) -> np.ndarray:
        """(environment,)"""
        return np.concatenate([each.adapted.numbers for each in self.environments])

    @property
    def known(self) -> np.ndarray:
        """(environment,) whether its system, or a composition, explains the prompt."""
        return np.concatenate([each.adapted.known for each in self.environments])

    @property
    def initial(self) -> tuple[xr.Dataset, ...]:
        """Fields at the first time of each environment that was adapted to scattered points."""
        return tuple(first for each in self.environments for first in each.adapted.initial)

    def systems(self) -> xr.Dataset:
        """`system` (environment,), the most probable, and `probability` (environment, component)."""
        names = list(dict.fromkeys(name for each in self.environments for name in each.responsibility))
        rows = [[each.responsibility.get(name, 0.0) for name in names] for each in self.environments]
        columns = {
            "system": ("environment", [each.system for each in self.environments]),
            "probability": (("environment", "component"), np.array(rows)),
        }
        return xr.Dataset(columns, {"environment": self.numbers, "component": names})

    def coefficients(self) -> xr.Dataset:
        """`mean` and `std` (environment, term), missing for terms that a system cannot have, `unexplained`, `known`."""
        found = [each.adapted.coefficients() for each in self.environments]
        return cast(xr.Dataset, xr.concat(found, "environment", join="outer"))

    def forecast(
        self, initial: xr.Dataset, times: Sequence[float] | np.ndarray, members: int = 0, seed: int = 0
    ) -> xr.Dataset:
        """See `Adapted.forecast`; trajectories in the order of `initial`."""
        wanted, parts, order = initial["environment"].values, [], []
        unknown = sorted(set(wanted.tolist()) - set(self.numbers.tolist()))
        if unknown:
            raise SchemaError(f"environments {unknown} came where {self.numbers.tolist()} were adapted to")
        for each in self.environments:
            rows = np.flatnonzero(wanted == each.adapted.numbers[0])
            if len(rows):
                parts.append(each.adapted.forecast(initial.isel(trajectory=rows), times, members, seed))
                order.append(rows)
        whole = cast(xr.Dataset, xr.concat(parts, "trajectory"))
        return whole.isel(trajectory=np.argsort(np.concatenate(order)))


def candidates_of_all(datasets: Mapping[str, xr.Dataset], config: PhysicsConfig) -> list[str]:
    """The list of terms over the channels of all systems; ConfigError for one that is not understood."""
    channels = list(dict.fromkeys(str(name) for dataset in datasets.values() for name in dataset.data_vars))
    if config.candidates is not None:
        parse_terms(config.candidates, channels)
        return list(config.candidates)
    dimensions = len(np.atleast_1d(next(iter(datasets.values())).attrs["lengths"]))
    return library(channels, dimensions, order=config.order, degree=config.degree)


def restricted(texts: Sequence[str], channels: tuple[str, ...]) -> list[str]:
    """The terms that name no other channels."""
    made = []
    for text in texts:
        try:
            parse_terms([text], channels)
        except ConfigError:
            continue
        made.append(text)
    return made


def moved(member: Physics, dataset: xr.Dataset) -> dict[str, bool]:
    """Whether a system has each term: whether alone it would make more than a share of its channel's changes."""
    modes = member.family.primitives.modes
    _, states, times = frames_of(member._checked(dataset), modes, 2)  # pyright: ignore[reportPrivateUsage]
    _, size, _ = of_integrals(member.family.primitives, Frames(states, times))
    prior = member.family.prior
    whole = (prior.central.square() + prior.spread.square()).sqrt() / size
    return dict(zip(member.terms, (whole > HAS).tolist(), strict=True))
