"""Optimal transport and adversarial translation against what is known of them."""

import torch

from dino.transfer.alignment import monge_map, trained_generator


def covariance(randomly, size: int) -> torch.Tensor:
    root = randomly(size, size)
    return root @ root.T + 0.1 * torch.eye(size, dtype=root.dtype)


def test_the_monge_map_moves_one_gaussian_onto_the_other(randomly):
    source, target = covariance(randomly, 7), covariance(randomly, 7)
    move = monge_map(source, target)
    assert torch.allclose(move @ source @ move.T, target, rtol=1e-8, atol=1e-8)
    assert torch.allclose(move, move.T, atol=1e-9)
    assert torch.linalg.eigvalsh(move).min() > 0  # the gradient of a convex function (Brenier)


def test_no_map_of_the_same_effect_is_cheaper(randomly):
    """Maps with T S T' = S* are the optimal one turned; each turn costs more, E|x - Tx|^2."""
    source, target = covariance(randomly, 5), covariance(randomly, 5)
    move, root = monge_map(source, target), torch.linalg.cholesky(target)
    cheapest = cost(move, source)
    for _ in range(5):
        turn, _ = torch.linalg.qr(randomly(5, 5))
        other = root @ turn @ torch.linalg.inv(torch.linalg.cholesky(source))
        assert torch.allclose(other @ source @ other.T, target, atol=1e-6)
        assert cost(other, source) > cheapest


def cost(move: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    gap = torch.eye(len(move), dtype=move.dtype) - move
    return torch.trace(gap @ source @ gap.T)


def test_the_map_between_axes_of_their_own_is_a_ratio_of_spreads():
    source, target = torch.tensor([4.0, 1.0]).double(), torch.tensor([1.0, 9.0]).double()
    made = monge_map(torch.diag(source), torch.diag(target))
    assert torch.allclose(made, torch.diag(torch.tensor([0.5, 3.0]).double()))


def test_adversarial_translation_moves_codes_towards_the_observed_ones():
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    shift = torch.tensor([1.0, -0.5, 0.0])

    def here() -> torch.Tensor:
        return torch.randn(256, 3, generator=generator)

    made = trained_generator(here, lambda: here() + shift, 300)
    moved = made(here()).mean(0).detach()
    assert (moved - shift).norm() < 0.5 * shift.norm()
