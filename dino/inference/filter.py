"""Sequential assimilation: the extended Kalman filter and its Rauch-Tung-Striebel smoother in latent space.

Where the window treats the model as perfect, the filter adds process noise at every node, so that old observations
lose weight at the rate at which the model was measured to err. Without process noise, on linear dynamics, it gives
what the window gives. With a bound every node minimises Huber's cost (`robust`), as the window does.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..errors import NonFiniteError
from ..numerics.gaussian import Gaussian, cholesky
from .observed import Rows
from .robust import huber_cost, huber_weight, reweighted
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
    bound: float = math.inf

    @property
    def end(self) -> Gaussian:
        """The state at the last node."""
        return self._forwards[0]

    @property
    def weight(self) -> Tensor:
        """(row,) Huber's weights of the observations, 1 where they count in full."""
        return self._forwards[1]

    @cached_property
    @torch.no_grad()
    def _forwards(self) -> tuple[Gaussian, Tensor]:
        """The state at the last node, and the weights."""
        weight = torch.ones_like(self.rows.innovation)
        mean, covariance = self.prior.mean.double(), self.prior.covariance.double()
        for node in range(len(self.nodes)):
            if node:
                mean, covariance, _ = self._predict(mean, covariance, node)
            mean, covariance = self._condition(mean, covariance, node, weight)
        return Gaussian(mean.to(self.prior.mean), covariance.to(self.prior.mean)), weight

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
        weight = torch.ones_like(self.rows.innovation)
        mean, covariance = self.prior.mean.double(), self.prior.covariance.double()
        for node in range(len(self.nodes)):
            if node:
                before = covariance
                mean, covariance, jacobian = self._predict(mean, covariance, node)
                # Smoother gain C = P_f M' P_p^-1, with the Cholesky factor of the predicted covariance.
                gains.append(torch.cholesky_solve(jacobian @ before, cholesky(covariance)).T)
            predictions.append((mean, covariance))
            mean, covariance = self._condition(mean, covariance, node, weight)
            means.append(mean)
            covariances.append(covariance)
        for node in range(len(self.nodes) - 2, -1, -1):
            gain = gains[node]
            after_mean, after_covariance = predictions[node + 1]
            means[node] = means[node] + gain @ (means[node + 1] - after_mean)
            covariances[node] = covariances[node] + gain @ (covariances[node + 1] - after_covariance) @ gain.T
        like = self.prior.mean
        return Trajectory(torch.stack(means).to(like), torch.stack(covariances).to(like), weight)

    def _predict(self, mean: Tensor, covariance: Tensor, node: int) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and covariance carried from the node before, and the Jacobian of the flow between."""
        between = self.nodes[node - 1 : node + 1]
        states, jacobians = tangent_flow(self.right, mean.to(self.prior.mean), between, self.method, self.step)
        jacobian = jacobians[-1].double()
        noise = self.process_noise.double() * float(between[1] - between[0])
        return states[-1].double(), jacobian @ covariance @ jacobian.T + noise, jacobian

    def _condition(self, mean: Tensor, covariance: Tensor, node: int, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and covariance given the rows at a node, whose weights are written into `weight`."""
        here = self.rows.node + (self.rows.fraction > 0.5).long() == node
        if not bool(here.any()):
            return mean, covariance
        condition = _reweighted_update if self.rows.decoder is None else _iterated_update
        state, weight[here] = condition(mean, covariance, self.rows.select(here), self.code_size, self.bound)
        return state


State = tuple[Tensor, Tensor]  # mean and covariance


def _reweighted_update(
    mean: Tensor, covariance: Tensor, rows: Rows, code_size: int, bound: float
) -> tuple[State, Tensor]:
    """Condition on rows of an affine decoder: the minimum of Huber's cost, and the weights (row,) there.

    First, innovations are weighed by their own covariance, H P H' + R: a node without outliers needs no more.
    """
    if bound == math.inf:
        return _update(mean, covariance, rows, code_size), torch.ones_like(rows.innovation)
    operator, error = rows.operator.double(), rows.variance.double().sqrt()
    innovation = rows.innovation.double() - operator @ mean[:code_size]
    expected = (rows.variance + ((operator @ covariance[:code_size, :code_size]) * operator).sum(-1)).sqrt()
    weight = huber_weight(innovation / expected, bound)
    for _ in range(UPDATE_ITERATIONS):
        state = _update(mean, covariance, reweighted(rows, weight), code_size)
        before, weight = weight, huber_weight((rows.innovation - operator @ state[0][:code_size]) / error, bound)
        if torch.allclose(weight, before, rtol=0, atol=1e-3):
            break
    return state, weight.to(rows.innovation)


def _iterated_update(
    mean: Tensor, covariance: Tensor, rows: Rows, code_size: int, bound: float
) -> tuple[State, Tensor]:
    """Condition on rows of a decoder that is not affine: the iterated Kalman update, which is Gauss-Newton.

    (Bell & Cathey 1993.) With code = mean + P_cc multiplier the cost needs no inverse of the covariance, and a step
    that does not lower it is halved.
    """
    codes_covariance, like = covariance[:code_size, :code_size], rows.operator
    error = rows.variance.double().sqrt()
    multiplier = torch.zeros_like(mean[:code_size])

    def about(multiplier: Tensor) -> tuple[Rows, Tensor, Tensor]:
        """The rows about a code, with their weights, and the cost."""
        code = mean[:code_size] + codes_covariance @ multiplier
        seen = rows.about(code.to(like).expand(len(rows), -1))
        scaled = (seen.innovation.double() - seen.operator.double() @ code) / error
        cost = 0.5 * multiplier @ codes_covariance @ multiplier + huber_cost(scaled, bound).sum()
        weight = huber_weight(scaled, bound)
        return reweighted(seen, weight), weight, cost

    seen, weight, cost = about(multiplier)
    for _ in range(UPDATE_ITERATIONS):
        solved, _ = _update(mean, covariance, seen, code_size)
        misfit = seen.innovation.double() - seen.operator.double() @ solved[:code_size]
        step = seen.operator.double().T @ (misfit / seen.variance.double()) - multiplier
        length = 1.0
        trial, trial_weight, lower = about(multiplier + step)
        while not lower <= cost * (1 + 1e-9) and length > 1e-3:
            length /= 2
            trial, trial_weight, lower = about(multiplier + length * step)
        if not lower <= cost * (1 + 1e-9):
            break
        multiplier, seen, weight, gained, cost = multiplier + length * step, trial, trial_weight, cost - lower, lower
        if bool(gained < 1e-6 * cost):
            break
    if not bool(torch.isfinite(cost)):
        raise NonFiniteError("the analysis left the finite numbers; shorten the window or check the observations")
    _, updated = _update(mean, covariance, seen, code_size)
    return (mean + covariance[:, :code_size] @ multiplier, updated), weight.to(rows.innovation)


def _update(mean: Tensor, covariance: Tensor, rows: Rows, code_size: int) -> State:
    """Condition a state on the rows of one node; in information form over codes, so that cost is linear in rows."""
    operator = rows.operator.double()
    weighted = operator / rows.variance[:, None].double()
    information = weighted.T @ operator
    right = weighted.T @ (rows.innovation.double() - operator @ mean[:code_size])
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
