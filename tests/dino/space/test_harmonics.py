"""Harmonics of a box against closed forms and finer grids; boxes are not square, rows are y."""

import math

import numpy as np
import pytest
import torch

from dino.errors import ConfigError
from dino.space.harmonics import Harmonics, NoSpace

WIDE, HIGH = 5.0, 3.0  # along x, along y


def grid(columns: int, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """x and y (row, column) of a box that is WIDE along x."""
    x, y = torch.arange(columns).double() * WIDE / columns, torch.arange(rows).double() * HIGH / rows
    return x.expand(rows, columns), y[:, None].expand(rows, columns)


def wave(x, y, p, q, shift=0.4):
    return torch.cos(2 * math.pi * (p * x / WIDE + q * y / HIGH) + shift)


@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize(("columns", "rows"), [(16, 12), (15, 9), (16, 9)])
def test_derivatives_of_waves_are_exact(degree, columns, rows):
    modes = Harmonics(("w",), (HIGH, WIDE), (rows, columns), degree)
    x, y = grid(columns, rows)
    p, q = 2, -3
    k, m = 2 * math.pi * p / WIDE, 2 * math.pi * q / HIGH
    field, quarter = wave(x, y, p, q), wave(x, y, p, q, 0.4 + math.pi / 2)
    size = k * k + m * m
    truth = {
        "id": field,
        "dx": k * quarter,
        "dy": m * quarter,
        "dxx": -k * k * field,
        "dxy": -k * m * field,
        "dxxy": -k * k * m * quarter,
        "lap": -size * field,
        "lap2": size**2 * field,
        "p": -field / size,
        "px": -k * quarter / size,
        "py": -m * quarter / size,
    }
    states = modes.encode(field[None])
    for operator, wanted in truth.items():
        made = modes.decode(states * modes.symbol(operator)[:, None])[0]
        torch.testing.assert_close(made, wanted, atol=1e-11 * size**2, rtol=0)


def test_one_dimension_and_its_fourth_derivative():
    modes = Harmonics(("u",), (WIDE,), (11,))
    x = torch.arange(11).double() * WIDE / 11
    k = 2 * math.pi * 3 / WIDE
    states = modes.encode(torch.sin(k * x)[None])
    for operator, wanted in {"dxxx": -(k**3) * torch.cos(k * x), "dxxxx": k**4 * torch.sin(k * x)}.items():
        torch.testing.assert_close(modes.decode(states * modes.symbol(operator)[:, None])[0], wanted)


@pytest.mark.parametrize("sizes", [(9,), (8,), (7, 9), (8, 6)])
@pytest.mark.parametrize("degree", [1, 2])
def test_fields_of_kept_waves_come_back_and_weights_give_the_mean_square(sizes, degree):
    modes = Harmonics(("u", "v"), (3.0, 2.0)[: len(sizes)], sizes, degree)
    fields = torch.randn(4, 2, *sizes, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    kept = modes.decode(modes.encode(fields))
    assert degree == 2 or torch.allclose(kept, fields)
    states = modes.encode(kept)
    assert states.shape == (4, modes.blocks, 2)
    torch.testing.assert_close(modes.decode(states), kept)
    square = (modes.weights[:, None] * states.abs().square()).sum(-2)
    torch.testing.assert_close(square, kept.square().flatten(2).mean(-1))


@pytest.mark.parametrize("degree", [2, 3])
def test_products_have_no_aliasing(degree):
    modes = Harmonics(("u",), (HIGH, WIDE), (9, 12), degree)
    fine = Harmonics(("u",), (HIGH, WIDE), (63, 72), degree)
    field = torch.randn(1, 9, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    states = modes.encode(field)
    made = modes.from_points(modes.at_points(states[:, 0]) ** degree)
    truth = modes.encode(fine.decode(fine.encode(modes.decode(states, (63, 72)))) ** degree)[:, 0]
    torch.testing.assert_close(made, truth)


@pytest.mark.parametrize("degree", [1, 2])
def test_another_grid_of_the_same_box_has_the_same_states(degree):
    """A wave that two grids have is the same on both; the shortest of an even grid is none of these."""
    modes = Harmonics(("w",), (HIGH, WIDE), (8, 10), degree)
    states = modes.encode(sum(wave(*grid(10, 8), p, q, p) for p, q in ((0, 0), (2, 3), (4, -1), (0, 2)))[None])
    for columns, rows in ((10, 8), (20, 16), (13, 9)):
        x, y = grid(columns, rows)
        field = sum(wave(x, y, p, q, p) for p, q in ((0, 0), (2, 3), (4, -1), (0, 2)))
        torch.testing.assert_close(modes.encode(field[None]), states)
        torch.testing.assert_close(modes.decode(states, (rows, columns))[0], field)
    shortest = torch.cos(math.pi * torch.arange(10)).double().expand(1, 8, 10)
    finer = modes.decode(modes.encode(shortest), (16, 20))
    assert float(finer.abs().max()) < 1e-12


@pytest.mark.parametrize("columns", [4, 6, 12])
def test_a_coarser_grid_has_the_values_at_its_points(columns):
    """Waves that a coarser grid does not hold are seen at its points all the same, as of a front that was refined."""
    modes = Harmonics(("u",), (WIDE,), (24,))
    field = torch.tanh(5 * torch.cos(2 * math.pi * torch.arange(24).double() / 24))
    states = modes.encode(field[None])
    kept = modes.decode(states)[0]
    torch.testing.assert_close(modes.decode(states, (columns,))[0], kept[:: 24 // columns])
    between = modes.decode(states, (120,))[0]
    torch.testing.assert_close(modes.decode(states, (10,))[0], between[::12])


def test_harmonics_are_along_x_then_y():
    modes = Harmonics(("w",), (HIGH, WIDE), (9, 12))
    rows, columns = modes.points
    x, y = grid(columns, rows)
    torch.testing.assert_close(modes.wave("cos", (2, -1)), wave(x, y, 2, -1, 0.0))
    torch.testing.assert_close(modes.wave("sin", (3,)), wave(x, y, 3, 0, -math.pi / 2))


def test_the_nine_point_laplacian_is_that_of_the_grid():
    modes = Harmonics(("w",), (2.0, 3.0), (6, 9), 1)
    field = torch.randn(6, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    near = sum(torch.roll(field, shift, axis) for axis in (0, 1) for shift in (1, -1))
    far = sum(torch.roll(field, shifts, (0, 1)) for shifts in ((1, 1), (1, -1), (-1, 1), (-1, -1)))
    wanted = (0.5 * near + 0.25 * far - 3 * field) * (6 / 2.0) ** 2
    made = modes.decode(modes.encode(field[None]) * modes.symbol("lap9")[:, None])[0]
    torch.testing.assert_close(made, wanted)


def test_the_five_point_laplacian_is_that_of_the_grid():
    modes = Harmonics(("w",), (2.0, 4.0), (6, 9), 1)
    field = torch.randn(6, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    wanted = torch.zeros_like(field)
    for axis, spacing in enumerate((2.0 / 6, 4.0 / 9)):
        wanted += (torch.roll(field, 1, axis) + torch.roll(field, -1, axis) - 2 * field) / spacing**2
    made = modes.decode(modes.encode(field[None]) * modes.symbol("lap5")[:, None])[0]
    torch.testing.assert_close(made, wanted)


def test_channels_without_space_are_what_they_are():
    modes, values = NoSpace(("a", "b")), torch.randn(3, 2, dtype=torch.float64)
    states = modes.encode(values)
    assert states.shape == (3, modes.blocks, 2)
    assert torch.equal(modes.decode(states), values)
    assert torch.equal(modes.from_points(modes.at_points(states[..., 0])), states[..., 0])


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda: Harmonics(("u",), (1.0, 2.0), (8,)), "one or two lengths"),
        (lambda: Harmonics(("u",), (0.0,), (8,)), "above 0"),
        (lambda: Harmonics(("u",), (np.nan,), (8,)), "above 0"),
        (lambda: Harmonics(("u",), (1.0, 1.0), (8, 2)), "holds no wave"),
        (lambda: Harmonics(("u",), (1.0,), (8,)).symbol("dy"), "wants two dimensions"),
        (lambda: Harmonics(("u",), (1.0,), (8,)).symbol("py"), "wants two dimensions"),
        (lambda: Harmonics(("u",), (1.0,), (8,)).symbol("lap9"), "two dimensions"),
        (lambda: Harmonics(("u",), (1.0,), (8,)).symbol("lap5"), "two dimensions"),
        (lambda: Harmonics(("u",), (1.0, 2.0), (8, 8)).symbol("lap9"), "square cells"),
        (lambda: Harmonics(("u",), (1.0,), (8,)).wave("cos", (4,)), r"waves up to \[3\] along x"),
        (lambda: Harmonics(("u",), (1.0,), (8,)).wave("cos", (1, 2)), "along x"),
        (lambda: NoSpace(("u",)).symbol("dx"), "wants a box"),
        (lambda: NoSpace(("u",)).wave("cos", (1,)), "wants a box"),
    ],
)
def test_refusals(call, why):
    with pytest.raises(ConfigError, match=why):
        call()
