"""What a step of the field stage draws, and how it is validated; that it learns is seen in whole runs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dino.config import DecoderConfig, DynamicsConfig, FieldConfig
from dino.data.series import Series
from dino.model import LatentModel, LatentSpec
from dino.training import field_stage as module
from dino.training.field_stage import FieldStage, draw_frames
from dino.training.variable_projection import project

COUNT, TIMES, POINTS = 6, 5, 40
CONFIG = FieldConfig(steps=8, frames_per_step=12, groups_per_step=4, ridge=0.1)


def a_model(kind: str = "fourier") -> LatentModel:
    torch.manual_seed(0)
    decoder = DecoderConfig.model_validate({"kind": kind, "code_size": 3, "hidden": 8, "layers": 1, "scale": 4.0})
    sizes = {"input_size": 2, "channels": 1, "interval_days": 1.0, "noise_variance": 0.01}
    return LatentModel(LatentSpec(decoder=decoder, dynamics=DynamicsConfig(), data_digest="field", **sizes))


def a_series(alike: bool = False) -> Series:
    """Values that tell series and time, with other gaps in every series unless they are alike."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(COUNT, TIMES, POINTS, 1, generator=generator)
    weights = torch.ones(COUNT, POINTS, 1)
    if not alike:
        weights[torch.rand(weights.shape, generator=generator) < 0.3] = 0.0
    points, context = torch.rand(POINTS, 2, generator=generator), torch.zeros(COUNT, 0)
    return Series(
        points, weights, values * (weights > 0)[:, None], np.arange(5.0), context, charts=1 if alike else COUNT
    )


@pytest.mark.parametrize("alike", [True, False])
def test_maps_are_drawn_with_the_weights_of_their_series(alike):
    store = a_series(alike)
    values, weights = draw_frames(store, alike, CONFIG, torch.Generator().manual_seed(1))
    assert values.shape == ((1, 12) if alike else (4, 3)) + (POINTS, 1)
    assert len(weights) == len(values)
    series = set()
    for group, weight in zip(values, weights, strict=True):
        for drawn in group:
            ((row, _),) = (store.values == drawn).flatten(2).all(-1).nonzero().tolist()
            assert torch.equal(store.weights[row], weight)
            series.add(row)
    assert len(series) == 4 or alike  # a group a series, none twice


def test_groups_are_no_more_than_series():
    few = a_series().subset(torch.tensor([1, 3]))
    values, _ = draw_frames(few, False, CONFIG, torch.Generator())
    assert values.shape[:2] == (2, 6)


@pytest.mark.parametrize("alike", [True, False])
def test_validation_is_the_residual_of_all_held_out_values(alike):
    model, held = a_model(), a_series(alike)
    stage = FieldStage(model, [held], held, CONFIG, torch.Generator())
    with torch.no_grad():
        basis = model.decoder.linearise(held.coordinates, model.code_prior.mean[None])
        squares = 0.0
        for values, weights in zip(held.values, held.weights, strict=True):
            codes = project(basis, values[None], weights[None], CONFIG.ridge).codes[0]
            squares += float((weights * (values - basis.decode(codes)).square()).sum()) / TIMES
    assert stage.validate() == pytest.approx(squares / float(held.weights.sum()), rel=1e-5)


def test_validation_of_a_decoder_that_is_not_affine_repeats_itself():
    held = a_series(alike=True)
    stage = FieldStage(a_model("siren"), [held], held, CONFIG, torch.Generator())
    first = stage.validate()
    assert 0 < first < float(held.values.square().mean())
    torch.rand(3)
    assert stage.validate() == first


def test_stores_are_drawn_by_their_shares(monkeypatch):
    seldom, often = replace(a_series(), share=0.0), a_series()
    stage = FieldStage(a_model(), [seldom, often], often, CONFIG, torch.Generator().manual_seed(0))
    used, draw = [], module.draw_frames
    monkeypatch.setattr(module, "draw_frames", lambda store, *rest: used.append(store.share) or draw(store, *rest))
    before = stage.model.decoder.shift.detach().clone()
    for index in range(4):
        assert stage.step(index) > 0
    assert used == [1.0] * 4
    assert not torch.equal(stage.model.decoder.shift, before)
