"""Parts of a decoder that know nothing of each other while it is trained."""

import numpy as np
import torch

from dino.config import DecoderConfig, DynamicsConfig, FieldConfig
from dino.data.series import Series
from dino.model import LatentModel, LatentSpec
from dino.training.apart import Part, fall_apart, masks, parts_of
from dino.training.field_stage import FieldStage

DECODER = DecoderConfig(code_size=7, hidden=8, layers=2, tracer_codes=4)
PARTS = [Part([0, 2], 3), Part([1], 4)]


def a_model() -> LatentModel:
    """Sea level, a tracer and the lower layer."""
    torch.manual_seed(0)
    dynamics = DynamicsConfig(form="layers", order=1, tracers=1, points=8)
    sizes = {"input_size": 2, "channels": 3, "interval_days": 1.0, "noise_variance": 0.01}
    model = LatentModel(LatentSpec(decoder=DECODER, dynamics=dynamics, data_digest="apart", **sizes))
    fall_apart(model.decoder, PARTS)
    return model


def seen_by(model: LatentModel) -> torch.Tensor:
    """(channel, code) whether a code shows in a channel."""
    return model.decoder.basis(torch.rand(50, 2)).modes.abs().amax(0) > 0


WANTED = torch.tensor([[True] * 3 + [False] * 4, [False] * 3 + [True] * 4, [True] * 3 + [False] * 4])


def test_the_flow_has_the_channels_around_the_tracers():
    assert parts_of(DECODER, 3, 1) == PARTS
    assert parts_of(DecoderConfig(code_size=7), 3, 1) == []
    two = parts_of(DECODER.model_copy(update={"code_size": 11}), 4, 2)
    assert two == [Part([0, 3], 3), Part([1], 4), Part([2], 4)]


def test_codes_show_in_their_own_channels_alone():
    assert torch.equal(seen_by(a_model()), WANTED)


def test_weights_between_parts_stay_zero_in_training():
    model = a_model()
    values = torch.randn(4, 6, 30, 3)
    weights, points = torch.ones(4, 30, 3), torch.rand(30, 2)
    series = Series(points, weights, values, np.arange(6.0), torch.zeros(4, 0))
    config = FieldConfig(steps=5, frames_per_step=8, groups_per_step=2)
    stage = FieldStage(model, [series], series, config, torch.Generator().manual_seed(0))
    before = model.decoder.shift.detach().clone()
    for index in range(5):
        stage.step(index)
    assert not torch.equal(model.decoder.shift, before)
    assert torch.equal(seen_by(model), WANTED)
    for weight, mask in masks(model.decoder, PARTS):
        assert (weight[(mask == 0).expand_as(weight)] == 0).all()


def test_modes_are_about_as_large_as_those_of_decoders_of_the_parts_sizes():
    torch.manual_seed(1)
    points, ratios = torch.rand(200, 2), []
    for _ in range(30):
        apart = a_model().decoder
        alone = LatentModel(
            LatentSpec(
                decoder=DecoderConfig(code_size=4, hidden=4, layers=2), dynamics=DynamicsConfig(), data_digest="alone",
                input_size=2, channels=1, interval_days=1.0, noise_variance=0.01,
            )
        ).decoder  # fmt: skip
        ratios.append((apart.basis(points).modes[:, 1, 3:].std() / alone.basis(points).modes.std()).detach())
    assert 0.5 < float(torch.stack(ratios).log().mean().exp()) < 2.0
