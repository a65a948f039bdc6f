"""Sequential assimilation: the extended Kalman filter and its Rauch-Tung-Striebel smoother in latent space.

Where the window treats the model as perfect, the filter adds process noise at every node, so that old observations
lose weight at the rate at which the model was measured to err. Without process noise, on linear dynamics, it gives
what the window gives.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .gaussian import Gaussian, cholesky
from .rows import Rows
from .window import RightHandSide, Trajectory, tangent_flow


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
        return _update(mean, covariance, self.rows, nearest == node, self.code_size)


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
