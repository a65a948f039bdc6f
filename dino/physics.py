"""Many physics: what several environments of one system have in common, and a new one's coefficients by one solve.

physics = dino.fit(dino.from_array(values, times, lengths, environments=numbers))
adapted = physics.adapt(dino.from_array(few, times, lengths))
adapted.coefficients()                       # of every candidate term, with error bars
adapted.forecast(few.isel(time=[-1]), later) # a dataset like those that came
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from torch import Tensor

from data_pipeline.layout.trajectories import AXES, check_trajectories, trajectories_dataset

from .config import PhysicsConfig
from .data.trajectories import candidates_of, frames_of, modes_of, values_of
from .dynamics.primitives import Primitives
from .errors import ConfigError, SchemaError
from .forecasts.rollout import Rollout, closure, roll, spread_of
from .inference.environments import adapt
from .inference.family import Family, Posterior
from .inference.transition_equations import unexplained
from .numerics.modes import without_gradients
from .training.environments_fit import learn

UNKNOWN = 30.0  # times what training environments leave unexplained: more is another physics
MOST_UNKNOWN = 0.1  # share of the change: where training itself leaves more, nothing is known
LEAST_UNKNOWN = 1e-4  # share of the change between frames, below which nobody need ask
TRUSTED = 4.0  # times the largest mean square of the states that were learned from


def from_array(
    values: np.ndarray,
    times: Sequence[float] | np.ndarray,
    lengths: Sequence[float] = (),
    *,
    channels: Sequence[str] | None = None,
    environments: Sequence[int] | np.ndarray | None = None,
    parameters: dict[str, np.ndarray] | None = None,
    periodic: bool = True,
) -> xr.Dataset:
    """A dataset of trajectories from an array of your own.

    values : (trajectory, time, channel, [y,] [x]); times : (time,) in your unit; lengths : of the box along x, then y,
    none for ordinary differential equations; channels : names, u, v, w or c0, c1, ... when absent;
    environments : (trajectory,) numbers, equal where the equations are the same; parameters : name -> (trajectory,),
    for comparison only
    Raises SchemaError where shapes do not go together.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 3 + len(lengths):
        raise SchemaError(
            f"values have {values.ndim} dimensions where (trajectory, time, channel) and {len(lengths)} of space were "
            "wanted; give one length for each dimension of space"
        )
    count = values.shape[2]
    names = list(channels or ("uvw"[:count] if count <= 3 else [f"c{number}" for number in range(count)]))
    if len(names) != count:
        raise SchemaError(f"{len(names)} names came for {count} channels")
    split = {name: values[:, :, number] for number, name in enumerate(names)}
    given = {"environment": environments, "parameters": parameters, "periodic": periodic}
    return trajectories_dataset(split, np.asarray(times, np.float64), lengths=lengths, **given)


def fit(trajectories: xr.Dataset, config: PhysicsConfig | None = None) -> "Physics":
    """Learn what the environments of a dataset of trajectories have in common.

    Raises SchemaError for another layout, EmptyDataError for fewer than three frames, ConfigError for a box that is not periodic.
    """
    return Physics.fit(trajectories, config or PhysicsConfig())


@dataclass(frozen=True)
class Physics:
    """A family of environments; `limit` is the unexplained share of change above which a prompt is another physics."""

    family: Family
    config: PhysicsConfig
    lengths: tuple[float, ...]
    limit: float
    reach: Tensor

    @classmethod
    @without_gradients
    def fit(cls, trajectories: xr.Dataset, config: PhysicsConfig) -> "Physics":
        """See `dino.fit`."""
        check_trajectories(trajectories)
        modes = modes_of(trajectories, config)
        primitives = Primitives(modes, candidates_of(modes, config))
        numbers, frames = frames_of(trajectories, modes, config.most_trajectories, config.most_frames)
        damping = None
        if config.closure and modes.dimensions:
            damping = closure(modes, config.closure / frames.interval)
        family, posterior = learn(
            primitives,
            frames,
            sizes=config.sizes,
            rounds=config.rounds,
            damping=damping,
            seed=config.seed,
            neglect=config.neglect,
        )
        left = unexplained(family, posterior.mean, frames)
        limit = min(max(UNKNOWN * float(left.median()), LEAST_UNKNOWN), MOST_UNKNOWN)
        reach = modes.weights[:, None] * frames.states.abs().square()
        lengths = tuple(float(each) for each in np.atleast_1d(trajectories.attrs["lengths"]))
        return cls(family, config, lengths, limit, reach.sum(-2).amax((0, 1, 2)))

    @property
    def terms(self) -> list[str]:
        """The candidates."""
        return [term.text for term in self.family.primitives.terms]

    @without_gradients
    def adapt(self, trajectories: xr.Dataset, iterations: int = 12) -> "Adapted":
        """The coefficients of the environments of a dataset; iterations of 1 is one linear solve.

        Raises SchemaError where channels or box are others than those that were learned.
        """
        self._check(trajectories)
        modes = self.family.primitives.modes
        numbers, frames = frames_of(trajectories, modes, None, None)
        posterior = adapt(self.family, frames, iterations)
        return Adapted(self, numbers, posterior, unexplained(self.family, posterior.mean, frames))

    def prior(self) -> xr.Dataset:
        """Centre and standard deviation of the coefficients over environments, dims (term,)."""
        prior = self.family.prior
        columns = {"mean": ("term", prior.central.numpy()), "std": ("term", prior.spread.numpy())}
        return xr.Dataset(columns, {"term": self.terms})

    def floor(self, trajectories: xr.Dataset) -> float:
        """The relative error that encoding and decoding alone leave of the fields: no forecast from this code is better."""
        self._check(trajectories)
        modes = self.family.primitives.modes
        values = values_of(trajectories, modes)
        return float((modes.decode(modes.encode(values), values.shape[3:]) - values).norm() / values.norm())

    def _check(self, trajectories: xr.Dataset) -> None:
        check_trajectories(trajectories)
        channels = self.family.primitives.modes.channels
        lengths = tuple(float(each) for each in np.atleast_1d(trajectories.attrs["lengths"]))
        if set(trajectories.data_vars) != set(channels) or lengths != self.lengths:
            raise SchemaError(
                f"channels {sorted(map(str, trajectories.data_vars))} on a box of {lengths} came where "
                f"{sorted(channels)} on {self.lengths} were learned"
            )


@dataclass(frozen=True)
class Adapted:
    """Environments that a family was adapted to: their numbers (environment,) and posterior.

    unexplained : (environment,) share of the change from frame to frame that the adapted equations leave
    """

    physics: Physics
    numbers: np.ndarray
    posterior: Posterior
    unexplained: Tensor

    @property
    def known(self) -> np.ndarray:
        """(environment,) whether the prompt is of the physics that was learned."""
        return (self.unexplained < self.physics.limit).numpy()

    def coefficients(self) -> xr.Dataset:
        """`mean` and `std` of every term (environment, term), and `unexplained`, `known` (environment,)."""
        spread = self.posterior.covariance.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt()
        columns = {
            "mean": (("environment", "term"), self.posterior.mean.numpy()),
            "std": (("environment", "term"), spread.numpy()),
            "unexplained": ("environment", self.unexplained.numpy()),
            "known": ("environment", self.known),
        }
        return xr.Dataset(columns, {"environment": self.numbers, "term": self.physics.terms})

    @without_gradients
    def forecast(
        self, initial: xr.Dataset, times: Sequence[float] | np.ndarray, members: int = 0, seed: int = 0
    ) -> xr.Dataset:
        """Fields at `times` from the last frame of every trajectory of `initial`.

        times : (time,) in the system's unit, not before that frame; members : of an ensemble over what adaptation and
        model leave open, whose standard deviation is added as <channel>_std; none for the mean coefficients' forecast
        The variable `trusted` (trajectory, time) is false where a forecast left the states that were learned from, or
        where its environment is another physics; such values are told, not hidden.
        """
        self.physics._check(initial)
        modes = self.physics.family.primitives.modes
        values = values_of(initial.isel(time=[-1]), modes)
        place = self._places(initial)
        now = float(initial["time"].values[-1])
        moments = np.asarray(times, np.float64)
        if len(moments) == 0 or (np.diff(moments) <= 0).any() or moments[0] < now:
            raise ConfigError(f"times must ascend from {now:g}, the last frame's; came {moments[:3]} ...")
        start = Rollout(self.physics.family, self.posterior, place, modes.encode(values)[:, 0], now)
        sizes = tuple(initial.sizes[axis] for axis in AXES[modes.dimensions])
        made = roll(start, moments, self.physics.reach)
        fields = modes.decode(made, sizes).numpy()
        channels = {name: fields[:, :, number] for number, name in enumerate(modes.channels)}
        parameters = {"periodic": True, "environment": initial["environment"].values, "lengths": self.physics.lengths}
        result = trajectories_dataset(channels, moments, **parameters)
        square = (modes.weights[:, None] * made.abs().square()).sum(-2)
        trusted = (square <= TRUSTED * self.physics.reach).all(-1).numpy() & self.known[place][:, None]
        if members:
            spread = spread_of(start, moments, sizes, members, seed, self.physics.reach).numpy()
            result = result.assign(
                {f"{name}_std": (result[name].dims, spread[:, :, n]) for n, name in enumerate(modes.channels)}
            )
        return result.assign_coords(trusted=(("trajectory", "time"), trusted))

    def _places(self, initial: xr.Dataset) -> np.ndarray:
        """(trajectory,) which of the adapted environments each trajectory is of."""
        wanted = initial["environment"].values
        unknown = sorted(set(wanted.tolist()) - set(self.numbers.tolist()))
        if unknown:
            raise SchemaError(f"environments {unknown} came where {self.numbers.tolist()} were adapted to")
        return np.searchsorted(self.numbers, wanted)
