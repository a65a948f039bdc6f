"""Dynamics that are given something more: nothing at first, and derivatives that are those of the field."""

from types import SimpleNamespace

import numpy as np
import torch

import dino
from dino.dynamics import AdaptedODE, LatentODE
from dino.transfer.extension import derivative_operators, extend, retract

KILOMETRES = np.deg2rad(1.0) * 6371.0


def test_what_is_added_is_nothing_at_first_and_comes_off(box_run, sea_run):
    for run in (box_run, sea_run):
        forecaster = dino.load(run)
        model = forecaster.latent
        state = torch.randn(forecaster.ocean.charts, model.dynamics.state_size)
        arguments = state, model.context(forecaster.ocean)
        before = model.dynamics.derivative(*arguments)
        extend(forecaster, 8, drifts=True)
        assert isinstance(model.dynamics, AdaptedODE)
        assert torch.equal(model.dynamics.derivative(*arguments), before)
        assert [spec.drifts for spec in model.spec.residuals] == [True]
        retract(model)
        assert torch.equal(model.dynamics.derivative(*arguments), before)
        assert model.spec.residuals == []


def test_derivatives_of_waves_are_waves(box_run, monkeypatch):
    """With modes cos kx, sin kx, cos ly, sin ly the operators are known: d/dx cos kx = -k sin kx."""
    forecaster = dino.load(box_run)
    box = 800.0
    k, l = 2 * np.pi / box, 4 * np.pi / box  # noqa: E741

    def waves(longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
        x = (longitude + 60.0) * np.cos(np.deg2rad(38.0)) * KILOMETRES
        y = (latitude - 38.0) * KILOMETRES
        return np.stack([np.cos(k * x), np.sin(k * x), np.cos(l * y), np.sin(l * y)], axis=-1)

    chart, model = forecaster.ocean.cover.charts[0], forecaster.latent
    monkeypatch.setattr(type(chart), "coordinates", lambda self, longitude, latitude: waves(longitude, latitude))
    monkeypatch.setattr(model.decoder, "linearise", lambda coordinates, codes: SimpleNamespace(modes=coordinates))
    model.dynamics = LatentODE(4, 1, 0, hidden=4, depth=0)
    east, north = derivative_operators(forecaster)
    quarter = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    nothing = torch.zeros(2, 2)
    assert torch.allclose(east / k, torch.block_diag(quarter, nothing), atol=0.02)
    assert torch.allclose(north / l, torch.block_diag(nothing, quarter), atol=0.02)
