"""Proper orthogonal decomposition with linear (DMD) and with learned nonlinear dynamics.

The basis is the leading principal components of the training frames, the best linear one on the kept points. Where not
all of the grid is kept, it exists on the kept points only: first frames are projected there, and forecasts there are
interpolated to the whole grid. Gappy POD does not arise, as the mask is the same in training and test.
"""

import torch
from torch import Tensor

from dino.dynamics import LatentODE, integrate

from .base import Budget, Task
from .interpolation import Interpolation
from .latent import train_latent_ode


class PodBasis:
    """Mean and `rank` principal components of frames (frame, value); codes have mean square one over all of them."""

    def __init__(self, frames: Tensor, rank: int) -> None:
        self.mean = frames.mean(0)
        centred = frames - self.mean
        rank = min(rank, *centred.shape)
        # Randomised subspace iteration (Halko et al. 2011): spectra here fall fast, and only the front is wanted.
        _, sizes, axes = torch.svd_lowrank(centred, q=min(rank + 20, *centred.shape), niter=6)
        spread = sizes[:rank] / len(frames) ** 0.5
        keep = spread > 1e-6 * spread[0]
        self.axes = axes[:, :rank][:, keep]
        self.scale = float(spread[keep].square().mean().sqrt())

    def encode(self, frames: Tensor) -> Tensor:
        """Codes (..., code) of frames (..., value)."""
        return (frames - self.mean) @ self.axes / self.scale

    def decode(self, codes: Tensor) -> Tensor:
        """Frames (..., value) of codes (..., code)."""
        return codes @ self.axes.T * self.scale + self.mean


class _Pod:
    """POD of the kept points; subclasses advance the codes."""

    def __init__(self, rank: int = 100) -> None:
        self.rank = rank

    def fit(self, task: Task) -> None:
        """Find the basis, then the dynamics of its codes."""
        budget = Budget(task.seconds)
        torch.manual_seed(task.seed)
        self.interpolation = Interpolation(task.coordinates, task.kept)
        frames = task.seen.flatten(2)
        self.basis = PodBasis(frames.flatten(0, 1), self.rank)
        self.fit_dynamics(self.basis.encode(frames), task, budget)

    def fit_dynamics(self, codes: Tensor, task: Task, budget: Budget) -> None:
        """Learn from codes (sequence, frame, code)."""
        raise NotImplementedError

    def advance(self, codes: Tensor, frames: int) -> Tensor:
        """Codes (sequence, frame, code) from first ones (sequence, code)."""
        raise NotImplementedError

    @torch.no_grad()
    def forecast(self, first: Tensor, frames: int) -> Tensor:
        """Whole-grid frames (sequence, frame, point, channel)."""
        codes = self.advance(self.basis.encode(first.flatten(1)), frames)
        return self.interpolation(self.basis.decode(codes).unflatten(-1, first.shape[1:]))


class PodDmd(_Pod):
    """Dynamic mode decomposition (Schmid 2010): the code of a frame is a linear function of the one before it.

    The operator is a ridge regression; the ridge is the one whose forecasts of an eighth of the sequences, held out,
    are the best, and the operator is then found from all of them.
    """

    name = "pod_dmd"
    ridges = (1e-10, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)

    def fit_dynamics(self, codes: Tensor, task: Task, budget: Budget) -> None:
        """Choose the ridge, then regress."""
        codes = codes.double()
        held = len(codes) // 8
        errors = [self._held_out_error(codes, held, ridge) for ridge in self.ridges] if held else [0.0]
        self.ridge = self.ridges[errors.index(min(errors))]
        self.operator = linear_operator(codes, self.ridge)

    def _held_out_error(self, codes: Tensor, held: int, ridge: float) -> float:
        made = advance_linearly(linear_operator(codes[held:], ridge), codes[:held, 0], codes.shape[1])
        error = float((made - codes[:held]).square().mean())
        return error if error < float("inf") else float("inf")

    def advance(self, codes: Tensor, frames: int) -> Tensor:
        """Codes (sequence, frame, code)."""
        return advance_linearly(self.operator, codes.double(), frames).float()


class PodOde(_Pod):
    """POD with dino's latent ODE of order one, trained in the same way: what a neural basis adds is the difference."""

    name = "pod_ode"

    def __init__(
        self,
        rank: int = 100,
        hidden: int = 512,
        depth: int = 4,
        learning_rate: float = 2e-3,
        frames_per_step: int = 1024,
    ) -> None:
        super().__init__(rank)
        self.hidden, self.depth = hidden, depth
        self.learning_rate, self.frames_per_step = learning_rate, frames_per_step

    def fit_dynamics(self, codes: Tensor, task: Task, budget: Budget) -> None:
        """Multiple shooting for what is left of the budget."""
        self.interval = task.interval
        self.ode = LatentODE(codes.shape[-1], order=1, hidden=self.hidden, depth=self.depth)
        train_latent_ode(
            self.ode,
            codes,
            task.interval,
            budget,
            learning_rate=self.learning_rate,
            frames_per_step=self.frames_per_step,
            seed=task.seed,
        )

    def advance(self, codes: Tensor, frames: int) -> Tensor:
        """Codes (sequence, frame, code)."""
        times = torch.arange(float(frames)) * self.interval
        return self.ode.codes(integrate(self.ode.bind(), codes, times, "rk4", self.interval)).movedim(0, 1)


def linear_operator(codes: Tensor, ridge: float) -> Tensor:
    """(code + 1, code): the ridge regression of a frame's code on the code before it and a constant."""
    before = _with_one(codes[:, :-1].flatten(0, 1))
    after = codes[:, 1:].flatten(0, 1)
    penalty = ridge * torch.eye(before.shape[1], dtype=codes.dtype)
    penalty[-1, -1] = 0.0
    normal = before.mT @ before / len(before) + penalty
    return torch.cholesky_solve(before.mT @ after / len(before), torch.linalg.cholesky(normal))


def advance_linearly(operator: Tensor, first: Tensor, frames: int) -> Tensor:
    """Codes (sequence, frame, code) from first ones (sequence, code)."""
    codes = [first]
    for _ in range(frames - 1):
        codes.append(_with_one(codes[-1]) @ operator)
    return torch.stack(codes, 1)


def _with_one(codes: Tensor) -> Tensor:
    return torch.cat([codes, torch.ones_like(codes[..., :1])], -1)
