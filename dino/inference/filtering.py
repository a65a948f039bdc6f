"""Sequential assimilation: the extended Kalman filter and its Rauch-Tung-Striebel smoother in latent space.

Where the window treats the model as perfect, the filter adds process noise at every node, so that old observations
lose weight at the rate at which the model was measured to err. Without process noise, on linear dynamics, it gives
what the window gives.
"""

import torch
from torch import Tensor

from .gaussian import Gaussian, cholesky
from .rows import Rows
from .window import RightHandSide, Trajectory, tangent_flow


@torch.no_grad()
def assimilate_filter(
    right: RightHandSide,
    prior: Gaussian,
    rows: Rows,
    nodes: Tensor,
    code_size: int,
    process_noise: Tensor,
    method: str = "rk4",
    step: float = 1.0,
) -> Trajectory:
    """The smoothed trajectory (node, state) of a window with an imperfect model.

    Every observation is taken at its nearest node. process_noise : (state, state) error covariance gained in one day.
    """
    nearest = rows.node + (rows.fraction > 0.5).long()
    means, covariances, predictions, gains = [], [], [], []
    mean, covariance = prior.mean.double(), prior.covariance.double()
    for node in range(len(nodes)):
        if node:
            states, jacobians = tangent_flow(right, mean.to(prior.mean), nodes[node - 1 : node + 1], method, step)
            jacobian = jacobians[-1].double()
            predicted = jacobian @ covariance @ jacobian.T
            elapsed = float(nodes[node] - nodes[node - 1])
            predicted = predicted + process_noise.double() * elapsed
            # Smoother gain C = P_f M' P_p^-1, with the Cholesky factor of the predicted covariance.
            gains.append(torch.cholesky_solve(jacobian @ covariance, cholesky(predicted)).T)
            mean, covariance = states[-1].double(), predicted
        predictions.append((mean, covariance))
        mean, covariance = _update(mean, covariance, rows, nearest == node, code_size)
        means.append(mean)
        covariances.append(covariance)
    for node in range(len(nodes) - 2, -1, -1):
        gain = gains[node]
        after_mean, after_covariance = predictions[node + 1]
        means[node] = means[node] + gain @ (means[node + 1] - after_mean)
        covariances[node] = covariances[node] + gain @ (covariances[node + 1] - after_covariance) @ gain.T
    like = prior.mean
    return Trajectory(torch.stack(means).to(like), torch.stack(covariances).to(like))


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
