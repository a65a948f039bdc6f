"""Many physics: what several environments of one system have in common, and a new one's coefficients by one solve.

physics = dino.fit(dino.from_array(values, times, lengths, environments=numbers))
adapted = physics.adapt(dino.from_array(few, times, lengths))
adapted.coefficients()                       # of every candidate term, with error bars
adapted.forecast(few.isel(time=[-1]), later) # a dataset like those that came
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from data_pipeline.layout.trajectories import AXES, check_trajectories, trajectories_dataset

from .config import PhysicsConfig
from .data.arrays import from_array
from .data.mirrored import check_even, cropped, edges_of, mirrored
from .data.trajectories import alike, candidates_of, frames_of, lengths_of, modes_of, values_of
from .dynamics.primitives import Primitives, proportional
from .errors import CheckpointError, ConfigError, EmptyDataError, SchemaError
from .forecasts.rollout import Rollout, closure, rolled, spread_of, tail_of
from .forecasts.widening import with_widening
from .inference.family import Family, Posterior
from .inference.own_noise import left_by
from .inference.prompts import adapt_all
from .inference.scattered import adapt_scattered
from .inference.scattered_points import from_states, points_of
from .inference.stored_family import described, restored
from .inference.transitions import Frames
from .model.sealed import read_sealed, write_sealed
from .numerics.modes import without_gradients
from .training.environments_fit import learn

__all__ = ["Adapted", "Physics", "fit", "from_array", "load_physics"]

KIND, VERSION = "physics", 2  # of what is saved
ROUNDING = 1e-12  # of lengths of a mirrored box, which come of another number of points
UNKNOWN = 30.0  # times what training environments leave unexplained: more is another physics
MOST_UNKNOWN = 0.05  # share of the change: where training itself leaves more, nothing is known
LEAST_UNKNOWN = 1e-6  # share of the change between frames, below which nobody need ask
MOST_MISFIT = 4.0  # mean square of whitened misfits of scattered points, above which they are of another physics
UNSURE = 0.25  # share of what is left that may be errors of observation although it seems not
LACKING = 3e-3  # share of the change that training leaves beside errors of observation: a term is missing
SEEN = 4.0  # times the mean square that errors of observation make of residuals, or the noise of training, below which
# no more can be told of a prompt
FRONT, FRONTS = 1e-3, 10.0  # share of the mean square in the last third of waves, or times the most of training
TRUSTED = 4.0  # times the largest mean square of the states that were learned from


def fit(trajectories: xr.Dataset, config: PhysicsConfig | None = None) -> "Physics":
    """Learn what the environments of a dataset of trajectories have in common.

    Of every environment as many trajectories are learned from as the one with the fewest has.
    Raises SchemaError for another layout, EmptyDataError for fewer than three frames, ConfigError for a box that is not
    periodic and for candidates that no data can tell apart.
    """
    return Physics.fit(trajectories, config or PhysicsConfig())


def load_physics(folder: Path | str) -> "Physics":
    """What `Physics.save` wrote; it runs no code of the folder.

    Raises MissingFileError where there is none, CheckpointError where a file was cut short or changed.
    """
    tensors, content = read_sealed(Path(folder), KIND, VERSION)
    try:
        told = tensors.pop("reach"), float(content["lacking"]), float(content["tail"]), tuple(content["edges"])
        limit = float(content["limit"])
        config, lengths = PhysicsConfig.model_validate(content["config"]), tuple(content["lengths_xy"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder} holds no physics of this version; fit and save anew") from error
    return Physics(restored(tensors, content), config, lengths, limit, *told)


@dataclass(frozen=True)
class Physics:
    """A family of environments.

    limit : the unexplained share of change above which a prompt is another physics; lacking : the share that training
    environments themselves leave, errors of observation apart; reach : (channel,) largest mean square that was learned
    from; tail : largest share of a frame's mean square in the last third of its waves; edges : axes that
    were mirrored, lengths being those of the mirrored box
    """

    family: Family
    config: PhysicsConfig
    lengths: tuple[float, ...]
    limit: float
    reach: Tensor
    lacking: float = 0.0
    tail: float = 0.0
    edges: tuple[str, ...] = ()

    @classmethod
    @without_gradients
    def fit(cls, trajectories: xr.Dataset, config: PhysicsConfig) -> "Physics":
        """See `dino.fit`."""
        check_trajectories(trajectories)
        edges, trajectories = edges_of(trajectories), mirrored(trajectories)
        modes = modes_of(trajectories, config)
        primitives = Primitives(modes, candidates_of(modes.channels, modes.dimensions, config, edges))
        check_even(primitives.terms, edges)
        for one, other in proportional(primitives)[:1]:
            raise ConfigError(
                f"candidates {one!r} and {other!r} are multiples of each other on this box; leave one out"
            )
        _, states, times = frames_of(trajectories, modes, config.most_trajectories, config.most_frames)
        frames = Frames(states, times)
        if not bool((states[:, :, 1:] != states[:, :, :-1]).any()):
            raise EmptyDataError("no trajectory changes from frame to frame; give some that do")
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
            step_error=config.step_error,
        )
        left = left_by(family, posterior.mean, frames)
        limit = min(max(UNKNOWN * float(left.share.median()), LEAST_UNKNOWN), MOST_UNKNOWN)
        lacking = float(left.share.median())
        if family.model is not None:  # without what errors of observation make of it
            beside, whole = ((modes.weights[:, None] * each).sum() for each in (family.model, family.noise))
            part = float(beside / whole)
            lacking *= part if part > UNSURE else 0.0
        reach = (modes.weights[:, None] * frames.states.abs().square()).sum(-2).amax((0, 1, 2))
        family = with_widening(family, posterior.weights, frames, reach)
        tail = float(tail_of(modes, frames.states).max())
        return cls(family, config, lengths_of(trajectories), limit, reach, lacking, tail, edges)

    @property
    def terms(self) -> list[str]:
        """The candidates."""
        return [term.text for term in self.family.primitives.terms]

    @without_gradients
    def adapt(self, trajectories: xr.Dataset, iterations: int | None = None) -> "Adapted":
        """The coefficients of the environments of a dataset.

        iterations : Gauss-Newton steps, each one linear solve, after the first estimate: a linear solve of the integral
        form, or the prior's centre where frames are too far apart for that. When absent as many as sufficed for
        forecasts in training, and at most 24 for environments that these explain less well than they did there

        The interval between frames may be another than the one that was learned from.
        Raises SchemaError where channels or box are others than those that were learned, EmptyDataError for fewer than
        three frames.
        """
        trajectories = self._checked(trajectories)
        if iterations is not None and iterations < 0:
            raise ConfigError(f"iterations must be 0 or more; came {iterations}")
        prompts = []
        for part in alike(trajectories):
            numbers, states, times = frames_of(part, self.family.primitives.modes)
            prompts.append((numbers, Frames(states, times)))
        numbers, posterior, share, size = adapt_all(self.family, prompts, iterations)
        # A prompt at rest has no change to take a share of: it leaves no more than training does.
        noise = float((self.family.primitives.modes.weights[:, None] * self.family.noise).sum())
        return Adapted(self, numbers, posterior, share, within=size <= SEEN * max(self.family.seen, noise))

    @without_gradients
    def adapt_points(self, points: xr.Dataset, error: float | None = None) -> "Adapted":
        """The coefficients of environments from sparse, irregular observations, and the fields where they begin.

        points : dim obs; columns `trajectory`, `time`, `x` (and `y`, `environment` where there are), and one a
        channel, NaN where it was not observed; `<channel>_error` or else `error` is their standard deviation
        The first fields are `initial` of what is returned, from which it forecasts.
        Raises ObservationError for columns that are missing or no numbers.
        """
        if self.edges:
            raise ConfigError("scattered observations want a periodic box; this physics has edges: give frames")
        modes, made = self.family.primitives.modes, []
        for number, given in points_of(points, modes, error):
            made.append((number, adapt_scattered(self.family, given)))
        found = [each.posterior for _, each in made]
        weights, factor = torch.cat([each.weights for each in found]), torch.cat([each.factor for each in found])
        posterior = Posterior(self.family.prior, weights, factor, torch.cat([each.misfit for each in found]))
        first = [from_states(modes, each.states, each.time, self.lengths, number) for number, each in made]
        # A misfit of one is what the errors allow; it stands in for what a frame leaves unexplained.
        shares = self.limit * posterior.misfit / MOST_MISFIT
        return Adapted(self, np.array([number for number, _ in made]), posterior, shares, tuple(first))

    def save(self, folder: Path | str) -> None:
        """Write `physics.safetensors` and `physics.json` to a folder, each whole or not at all; see `load_physics`."""
        tensors, content = described(self.family)
        content |= {"config": self.config.model_dump(mode="json"), "lengths_xy": self.lengths, "limit": self.limit}
        content |= {"lacking": self.lacking, "tail": self.tail, "edges": self.edges}
        write_sealed(Path(folder), KIND, VERSION, {**tensors, "reach": self.reach}, content)

    def prior(self) -> xr.Dataset:
        """Centre and standard deviation of the coefficients over environments, dims (term,)."""
        prior = self.family.prior
        columns = {"mean": ("term", prior.central.numpy()), "std": ("term", prior.spread.numpy())}
        return xr.Dataset(columns, {"term": self.terms})

    def floor(self, trajectories: xr.Dataset) -> float:
        """The relative error that encoding and decoding alone leave of the fields, below which no forecast can be."""
        made, whole, missed = self.reconstructed(trajectories), 0.0, 0.0
        for name in self.family.primitives.modes.channels:
            whole += float((trajectories[name] ** 2).sum())
            missed += float(((made[name] - trajectories[name].values) ** 2).sum())
        return (missed / max(whole, 1e-300)) ** 0.5

    def reconstructed(self, trajectories: xr.Dataset) -> xr.Dataset:
        """The fields after encoding and decoding."""
        given, trajectories = trajectories, self._checked(trajectories)
        modes = self.family.primitives.modes
        values = values_of(trajectories, modes)
        fields = modes.decode(modes.encode(values), tuple(values.shape[3:])).numpy()
        channels = {name: fields[:, :, number] for number, name in enumerate(modes.channels)}
        return cropped(trajectories_dataset(channels, given["time"].values, lengths=self.lengths), given)

    def _checked(self, trajectories: xr.Dataset) -> xr.Dataset:
        """On a periodic box."""
        check_trajectories(trajectories)
        if edges_of(trajectories) != self.edges:
            came, wanted = (", ".join(each) or "no axis" for each in (edges_of(trajectories), self.edges))
            raise SchemaError(
                f"a box with edges along {came} came where one with edges along {wanted} was learned; "
                "give the same `periodic`"
            )
        trajectories = mirrored(trajectories)
        channels = self.family.primitives.modes.channels
        lengths = lengths_of(trajectories)
        if (
            set(trajectories.data_vars) != set(channels)
            or len(lengths) != len(self.lengths)
            or not np.allclose(lengths, self.lengths, rtol=ROUNDING, atol=0)
        ):
            raise SchemaError(
                f"channels {sorted(map(str, trajectories.data_vars))} on a box of {lengths} came where "
                f"{sorted(channels)} on {self.lengths} were learned"
            )
        return trajectories


@dataclass(frozen=True)
class Adapted:
    """Environments that a family was adapted to: their numbers (environment,) and posterior.

    unexplained : (environment,) share of the change from frame to frame that the adapted equations leave
    initial : fields at the first time of each environment that was adapted to scattered points; within : (environment,)
    whether no more is left than errors of observation, or the noise of training, would leave
    """

    physics: Physics
    numbers: np.ndarray
    posterior: Posterior
    unexplained: Tensor
    initial: tuple[xr.Dataset, ...] = ()
    within: Tensor | None = None

    @property
    def known(self) -> np.ndarray:
        """(environment,) whether the prompt is of the physics that was learned, none where that lacks a term itself."""
        known = self.unexplained < self.physics.limit
        if self.within is not None:
            known = known | self.within
        return (known & (self.physics.lacking <= LACKING)).numpy()

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

        times : (time,) in the system's unit, not before that frame; members : two or more of an ensemble over what
        adaptation and model leave open, whose standard deviation is added as <channel>_std; 0 for none of it
        The variable `trusted` (trajectory, time) is false where a forecast left the states that were learned from,
        where its waves no longer hold its fronts, or where its environment is another physics; such values are told,
        not hidden.
        """
        given, initial = initial, self.physics._checked(initial)
        modes = self.physics.family.primitives.modes
        values = values_of(initial.isel(time=[-1]), modes)
        place = self._places(initial)
        now = float(initial["time"].values[-1])
        moments = np.atleast_1d(np.asarray(times, np.float64))
        if len(moments) == 0 or not (np.diff(moments) > 0).all() or not now <= moments[0] <= moments[-1] < np.inf:
            raise ConfigError(f"times must ascend from {now:g}, the last frame's; came {moments[:3]} ...")
        if members < 0 or members == 1:
            raise ConfigError(f"an ensemble has at least two members; came {members}: give 0 for none")
        start = Rollout(self.physics.family, self.posterior, place, modes.encode(values)[:, 0], now)
        sizes = tuple(initial.sizes[axis] for axis in AXES[modes.dimensions])
        made, sound = rolled(start, moments, self.physics.reach)
        fields = modes.decode(made, sizes).numpy()
        channels = {name: fields[:, :, number] for number, name in enumerate(modes.channels)}
        parameters = {"periodic": True, "environment": initial["environment"].values, "lengths": self.physics.lengths}
        result = trajectories_dataset(channels, moments, **parameters)
        square = (modes.weights[:, None] * made.abs().square()).sum(-2)
        held = tail_of(modes, made) <= max(FRONT, FRONTS * self.physics.tail)
        bounded = (square <= TRUSTED * self.physics.reach).all(-1) & held.all(-1)
        trusted = bounded.numpy() & (self.known[place] & sound.numpy())[:, None]
        if members:
            spread = spread_of(start, moments, sizes, members, seed, self.physics.reach).numpy()
            result = result.assign(
                {f"{name}_std": (result[name].dims, spread[:, :, n]) for n, name in enumerate(modes.channels)}
            )
        return cropped(result.assign_coords(trusted=(("trajectory", "time"), trusted)), given)

    def _places(self, initial: xr.Dataset) -> np.ndarray:
        """(trajectory,) which of the adapted environments each trajectory is of."""
        wanted = initial["environment"].values
        unknown = sorted(set(wanted.tolist()) - set(self.numbers.tolist()))
        if unknown:
            raise SchemaError(f"environments {unknown} came where {self.numbers.tolist()} were adapted to")
        return np.searchsorted(self.numbers, wanted)
