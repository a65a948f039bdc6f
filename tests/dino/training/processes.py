"""What the processes of `test_parallel` do; torchrun starts it. Whatever does not agree is an error of the process."""

import copy
import signal
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from data_pipeline.system.progress import silent
from dino.config import Config, load_config
from dino.data.codes import CodeSeries
from dino.experiments.train import _codes, _set_rates, train
from dino.numerics.parallel import ALONE, Group, joined
from dino.training import normal_equations
from dino.training.code_statistics import encode_series
from dino.training.collocation import fit_quadratic
from dino.training.dynamics_stage import DynamicsStage
from dino.training.field_stage import FieldStage
from dino.training.loop import Interrupted
from dino.training.prepare import prepare


def exact(data):
    """The same in float64."""
    names = [field.name for field in fields(data) if isinstance(getattr(data, field.name), torch.Tensor)]
    return replace(data, **{name: getattr(data, name).double() for name in names})


def agree(one, other, tolerance):
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def compare_field(config: Config, group: Group) -> None:
    """Steps, validation and codes in float64: with the same weights processes differ by rounding alone."""
    torch.manual_seed(0)
    splits, model, _ = prepare(config)
    model.double()
    series, results = exact(splits[0].training), []
    for each in (ALONE, group):
        mine, generator = copy.deepcopy(model), torch.Generator().manual_seed(1)
        stage = FieldStage(mine, [series], series, config.field, generator, each)
        losses = [stage.step(index) for index in range(3)]
        codes = encode_series(mine, series, mine.code_prior, group=each)
        results.append([*losses, stage.validate(), *codes, *mine.decoder.state_dict().values()])
    for one, other in zip(*results, strict=True):
        agree(torch.as_tensor(one), torch.as_tensor(other), 1e-8)


def compare_dynamics(config: Config, group: Group) -> None:
    torch.manual_seed(0)
    splits, model, _ = prepare(config)
    codes = _codes(model, splits[0].training, ALONE)
    _set_rates(model, [codes])
    model.double()
    data, results = exact(codes), []
    assert isinstance(data, CodeSeries)
    for each in (ALONE, group):
        mine, generator = copy.deepcopy(model), torch.Generator().manual_seed(1)
        if config.dynamics.form == "quadratic":
            numbers = fit_quadratic(mine, [data], data, silent, each)
        else:
            stage = DynamicsStage(mine, [data], data, config.dynamics, generator, each)
            numbers = [stage.step(index) for index in (0, 6, 11)] + [stage.validate()]
        results.append([*numbers, *mine.state_dict().values()])
    for one, other in zip(*results, strict=True):
        agree(torch.as_tensor(one), torch.as_tensor(other), 1e-7)


def stop_on_a_notice(config: Config, folder: Path, group: Group) -> None:
    """One process is told to end; all end at the same step."""
    step = FieldStage.step

    def noticing(self, index):
        if index == 6 and group.rank == 1:
            signal.raise_signal(signal.SIGTERM)
        return step(self, index)

    FieldStage.step = noticing
    with pytest.raises(Interrupted, match="step 7 of the field stage"):
        train(config, folder, silent, group=group)
    FieldStage.step = step


def fail(config: Config, folder: Path, group: Group) -> None:
    step = FieldStage.step

    def failing(self, index):
        if index == 2 and group.rank == 1:
            raise KeyError("power cut")
        return step(self, index)

    FieldStage.step = failing
    train(config, folder, silent, group=group)


def main() -> None:
    task, folder = sys.argv[1], Path(sys.argv[2])
    normal_equations.BLOCK = 16  # several blocks for every process
    configs = {name: load_config(folder / f"{name}.yaml") for name in ("box", "quadratic", "sea", "siren", "streamed")}
    with joined("cpu") as group:
        assert group.size == 2
        if task == "fail":
            fail(configs["box"], folder / "failed", group)
        for name in ("box", "sea", "siren"):
            compare_field(configs[name], group)
        for name in ("box", "sea", "quadratic"):
            compare_dynamics(configs[name], group)
        for name in ("quadratic", "streamed"):
            train(configs[name], folder / name, silent, group=group)
        stop_on_a_notice(configs["box"], folder / "stopped", group)
    # A thread of the group that outlives it may meet the interpreter's end, which aborts the process now and then.
    left = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    assert not any("gloo" in name for name in left), left


if __name__ == "__main__":
    main()
