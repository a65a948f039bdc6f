"""Sequential assimilation: the extended Kalman filter and its Rauch-Tung-Striebel smoother in latent space.

Where the window treats the model as perfect, the filter adds process noise at every node, so that old observations
lose weight at the rate at which the model was measured to err. Without process noise, on linear dynamics, it gives
what the window gives.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..errors import NonFiniteError
from .gaussian import Gaussian, cholesky
from .rows import Rows
from .window import RightHandSide, Trajectory, tangent_flow

UPDATE_ITERATIONS = 8


@dataclass(frozen=True)
class Filter:
    """A window to filter: `end` runs forwards alone, `mean` and `covariance` are smoothed when first asked for.

    Forecasts need the end only; running forwards again costs less than keeping every node of every chart for a
    smoother that may never be wanted. Every observation is taken at its nearest node.
    process_noise : (state, state) error covariance gained in one day; the rest as in `assimilate_window`
    """

    right: RightHandSide
    prior: Gaussian
    rows: Rows
    nodes: Tensor
    code_size: int
    process_noise: Tensor
    method: str = "rk4"
    step: float = 1.0

    @cached_property
    @torch.no_grad()
    def end(self) -> Gaussian:
        """The state at the last node."""
        mean, covariance = self.prior.mean.double(), self.prior.covariance.double()
        for node in range(len(self.nodes)):
            if node:
                mean, covariance, _ = self._predict(mean, covariance, node)
            mean, covariance = self._condition(mean, covariance, node)
        return Gaussian(mean.to(self.prior.mean), covariance.to(self.prior.mean))

    @property
    def mean(self) -> Tensor:
        """Smoothed means (node, state)."""
        return self.smoothed.mean

    @property
    def covariance(self) -> Tensor:
        """Smoothed covariances (node, state, state)."""
        return self.smoothed.covariance

    @cached_property
    @torch.no_grad()
    def smoothed(self) -> Trajectory:
        """The trajectory given all observations of the window, by the Rauch-Tung-Striebel recursion."""
        means, covariances, predictions, gains = [], [], [], []
        mean, covariance = self.prior.mean.double(), self.prior.covariance.double()
        for node in range(len(self.nodes)):
            if node:
                before = covariance
                mean, covariance, jacobian = self._predict(mean, covariance, node)
                # Smoother gain C = P_f M' P_p^-1, with the Cholesky factor of the predicted covariance.
                gains.append(torch.cholesky_solve(jacobian @ before, cholesky(covariance)).T)
            predictions.append((mean, covariance))
            mean, covariance = self._condition(mean, covariance, node)
            means.append(mean)
            covariances.append(covariance)
        for node in range(len(self.nodes) - 2, -1, -1):
            gain = gains[node]
            after_mean, after_covariance = predictions[node + 1]
            means[node] = means[node] + gain @ (means[node + 1] - after_mean)
            covariances[node] = covariances[node] + gain @ (covariances[node + 1] - after_covariance) @ gain.T
        like = self.prior.mean
        return Trajectory(torch.stack(means).to(like), torch.stack(covariances).to(like))

    def _predict(self, mean: Tensor, covariance: Tensor, node: int) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and covariance carried from the node before, and the Jacobian of the flow between."""
        between = self.nodes[node - 1 : node + 1]
        states, jacobians = tangent_flow(self.right, mean.to(self.prior.mean), between, self.method, self.step)
        jacobian = jacobians[-1].double()
        noise = self.process_noise.double() * float(between[1] - between[0])
        return states[-1].double(), jacobian @ covariance @ jacobian.T + noise, jacobian

    def _condition(self, mean: Tensor, covariance: Tensor, node: int) -> tuple[Tensor, Tensor]:
        nearest = self.rows.node + (self.rows.fraction > 0.5).long()
        here = nearest == node
        if self.rows.decoder is None or not bool(here.any()):
            return _update(mean, covariance, self.rows, here, self.code_size)
        rows = self.rows.select(here)
        return _iterated_update(mean, covariance, rows, self.code_size)


def _iterated_update(mean: Tensor, covariance: Tensor, rows: Rows, code_size: int) -> tuple[Tensor, Tensor]:
    """Condition on rows of a decoder that is not affine: the iterated Kalman update, which is Gauss-Newton.

    (Bell & Cathey 1993.) With code = mean + P_cc multiplier the cost needs no inverse of the covariance, and a step
    that does not lower it is halved.
    """
    everything = torch.ones(len(rows), dtype=torch.bool, device=mean.device)
    codes_covariance, like = covariance[:code_size, :code_size], rows.operator
    multiplier = torch.zeros_like(mean[:code_size])

    def about(multiplier: Tensor) -> tuple[Rows, Tensor]:
        code = mean[:code_size] + codes_covariance @ multiplier
        seen = rows.about(code.to(like).expand(len(rows), -1))
        misfit = seen.innovation.double() - seen.operator.double() @ code
        pull = multiplier @ codes_covariance @ multiplier
        return seen, 0.5 * (pull + (misfit.square() / seen.variance.double()).sum())

    seen, cost = about(multiplier)
    for _ in range(UPDATE_ITERATIONS):
        solved, _ = _update(mean, covariance, seen, everything, code_size)
        misfit = seen.innovation.double() - seen.operator.double() @ solved[:code_size]
        step = seen.operator.double().T @ (misfit / seen.variance.double()) - multiplier
        length = 1.0
        trial, lower = about(multiplier + step)
        while not lower <= cost * (1 + 1e-9) and length > 1e-3:
            length /= 2
            trial, lower = about(multiplier + length * step)
        if not lower <= cost * (1 + 1e-9):
            break
        multiplier, seen, gained, cost = multiplier + length * step, trial, cost - lower, lower
        if bool(gained < 1e-6 * cost):
            break
    if not bool(torch.isfinite(cost)):
        raise NonFiniteError("the analysis left the finite numbers; shorten the window or check the observations")
    _, updated = _update(mean, covariance, seen, everything, code_size)
    return mean + covariance[:, :code_size] @ multiplier, updated


def _update(mean: Tensor, covariance: Tensor, rows: Rows, here: Tensor, code_size: int) -> tuple[Tensor, Tensor]:
    """Condition a state on the rows of one node; in information form over codes, so that cost is linear in rows."""
    if not bool(here.any()):
        return mean, covariance
    operator = rows.operator[here].double()
    weighted = operator / rows.variance[here, None].double()
    information = weighted.T @ operator
    right = weighted.T @ (rows.innovation[here].double() - operator @ mean[:code_size])
    # P+ = P - P_c (I + A P_cc)^-1 A P_c' with A = H'R^-1 H; its symmetric form needs a square root of A only.
    root = _square_root(information)
    columns = covariance[:, :code_size] @ root
    inner = root.T @ covariance[:code_size, :code_size] @ root
    factor = cholesky(inner + torch.eye(len(inner), dtype=inner.dtype, device=inner.device))
    reduced = torch.linalg.solve_triangular(factor, columns.T, upper=False)
    updated = covariance - reduced.T @ reduced
    return mean + updated[:, :code_size] @ right, (updated + updated.T) / 2


def _square_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp_min(0).sqrt()
