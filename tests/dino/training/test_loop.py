"""The training loop: best weights, patience, interruption and exact resumption, with a stage of one number."""

import json
import signal

import pytest
import torch

from data_pipeline.system.progress import silent
from dino.errors import CheckpointError, NonFiniteError
from dino.training.loop import STATE_FILE, Interrupted, Loop, load_training_state


class Descent:
    """Noisy descent of a weight towards 3; everything random comes from the generator."""

    name = "descent"

    def __init__(self, steps=20, check_every=4, losses=None, fail_at=None):
        torch.manual_seed(0)
        self.model = torch.nn.Linear(1, 1)
        self.generator = torch.Generator().manual_seed(1)
        self.optimiser = torch.optim.Adam(self.model.parameters(), 0.3)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimiser, 0.3, total_steps=steps + 1)
        self.steps, self.check_every, self.losses, self.fail_at = steps, check_every, losses, fail_at
        self.taken = []

    def step(self, index):
        if index == self.fail_at:
            raise KeyError("power cut")
        self.taken.append(index)
        x = torch.randn(8, 1, generator=self.generator)
        loss = (self.model(x) - 3 * x).square().mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.schedule.step()
        return loss.detach()

    def validate(self):
        if self.losses is not None:
            return self.losses.pop(0)
        return float((self.model.weight - 3).square().detach() + self.model.bias.square().detach())


def weights(stage):
    return torch.cat([p.detach().flatten() for p in stage.model.parameters()])


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def finished(folder, **options):
    stage = Descent(**options)
    Loop(folder, resume=False).run(stage, silent)
    return weights(stage), (folder / "metrics.jsonl").read_text()


def test_progress_and_metrics(tmp_path):
    reports = []
    Loop(tmp_path, resume=False).run(Descent(steps=10), lambda done, total, note="": reports.append((done, total)))
    assert reports == [(i, 10) for i in range(1, 11)]
    assert [m["step"] for m in metrics(tmp_path)] == [4, 8, 10]
    assert all(m["stage"] == "descent" and m["train"] > 0 for m in metrics(tmp_path))


def test_best_weights_are_kept(tmp_path):
    stage, seen = Descent(steps=20, losses=[5.0, 1.0, 2.0, 3.0, 4.0]), {}
    Loop(tmp_path, resume=False).run(stage, lambda done, total, note="": seen.update({done: weights(stage).clone()}))
    assert torch.equal(weights(stage), seen[8])
    assert not torch.equal(seen[8], seen[20])


def test_patience_ends_a_stage(tmp_path):
    stage = Descent(steps=40, losses=[5.0, 1.0, 2.0, 3.0, 4.0, 0.5, 0.1, 9.0, 9.0, 9.0])
    loop = Loop(tmp_path, resume=False)
    loop.run(stage, silent, patience=2)
    assert stage.taken == list(range(16))
    assert loop.done("descent")


@pytest.mark.parametrize("save_every", [1, 3, 7])
@pytest.mark.parametrize("fail_at", [5, 8, 13, 19])
def test_resume_after_a_crash_equals_not_having_stopped(tmp_path, save_every, fail_at):
    (tmp_path / "a").mkdir()
    whole, log = finished(tmp_path / "a")
    folder = tmp_path / "b"
    folder.mkdir()
    with pytest.raises(KeyError):
        Loop(folder, resume=False, save_every=save_every).run(Descent(fail_at=fail_at), silent)
    again = Descent()
    if fail_at >= save_every:
        torch.randn(3, generator=again.generator)  # a resumed stage must not lean on its fresh generator
    Loop(folder, resume=True, save_every=save_every).run(again, silent)
    assert again.taken[0] == fail_at // save_every * save_every
    assert torch.equal(weights(again), whole)
    assert (folder / "metrics.jsonl").read_text() == log


@pytest.mark.parametrize("stop_at", [1, 6, 8, 20])
def test_interruption_finishes_the_step_and_resumes(tmp_path, stop_at):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole, log = finished(tmp_path / "a")
    before = signal.getsignal(signal.SIGINT)

    def interrupt(done, total, note):
        if done == stop_at:
            signal.raise_signal(signal.SIGINT)

    stopped = Descent()
    with pytest.raises(Interrupted, match=f"step {stop_at} of the descent stage"):
        Loop(tmp_path / "b", resume=False).run(stopped, interrupt)
    assert len(stopped.taken) == stop_at
    assert signal.getsignal(signal.SIGINT) is before
    again = Descent()
    Loop(tmp_path / "b", resume=True).run(again, silent)
    assert again.taken == list(range(stop_at, 20))
    assert torch.equal(weights(again), whole)
    assert (tmp_path / "b" / "metrics.jsonl").read_text() == log


def test_an_interruption_at_the_last_validation_of_patience_is_heard_and_remembered(tmp_path):
    losses = [1.0, 2.0, 3.0, 0.0, 0.0, 0.0]

    def interrupt(done, total, note):
        if done == 12:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        Loop(tmp_path, resume=False).run(Descent(losses=list(losses)), interrupt, patience=2)
    again = Descent(losses=losses[3:])
    Loop(tmp_path, resume=True).run(again, silent, patience=2)
    assert again.taken == []


@pytest.fixture
def python_interrupts():
    """Python's own handler of SIGINT: a shell that starts tests in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_second_interruption_is_not_caught(tmp_path, python_interrupts):
    def twice(done, total, note):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        Loop(tmp_path, resume=False).run(Descent(), twice)


def test_a_loss_that_is_no_number_is_a_typed_error(tmp_path):
    stage = Descent()
    stage.step = lambda index: torch.tensor(float("nan") if index == 3 else 1.0)
    with pytest.raises(NonFiniteError, match=r"descent loss is nan at step 3; lower descent.learning_rate"):
        Loop(tmp_path, resume=False).run(stage, silent)


def test_starting_anew_forgets_an_earlier_state(tmp_path):
    Loop(tmp_path, resume=False, save_every=2).run(Descent(), silent)
    assert load_training_state(tmp_path) is not None
    Loop(tmp_path, resume=False)
    assert load_training_state(tmp_path) is None
    assert metrics(tmp_path) == []


def test_state_between_stages(tmp_path):
    stage = Descent()
    loop = Loop(tmp_path, resume=False)
    loop.run(stage, silent)
    loop.checkpoint(stage.model, stage.generator)
    fresh, resumed = Descent(), Loop(tmp_path, resume=True)
    assert resumed.done("descent")
    assert not resumed.done("other")
    resumed.restore(fresh.model, fresh.generator)
    assert torch.equal(weights(fresh), weights(stage))
    assert torch.equal(fresh.generator.get_state(), stage.generator.get_state())
    assert len(resumed.metrics) == 5


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_damaged_state_is_a_typed_error(tmp_path, content):
    Loop(tmp_path, resume=False, save_every=2).run(Descent(), silent)
    path = tmp_path / STATE_FILE
    path.write_bytes(path.read_bytes()[:500] if content is None else content)
    with pytest.raises(CheckpointError, match="without --resume"):
        Loop(tmp_path, resume=True)


def test_a_state_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("code ran",))

    torch.save({"stage": Evil()}, tmp_path / STATE_FILE)
    with pytest.raises(CheckpointError):
        Loop(tmp_path, resume=True)


def test_without_a_state_resume_starts_at_the_beginning(tmp_path):
    stage = Descent()
    Loop(tmp_path, resume=True).run(stage, silent)
    assert stage.taken == list(range(20))


def test_a_stage_that_is_solved_is_noted_and_not_done_again(tmp_path):
    loop = Loop(tmp_path, resume=False)
    loop.run(Descent(steps=4), silent)
    loop.record("solved", [0.5, 0.25])
    assert loop.done("solved")
    expected = [{"stage": "solved", "step": n, "train": None, "validation": v} for n, v in ((1, 0.5), (2, 0.25))]
    assert metrics(tmp_path)[1:] == expected
    stage = Descent()
    loop.checkpoint(stage.model, stage.generator)
    resumed = Loop(tmp_path, resume=True)
    assert resumed.done("descent")
    assert resumed.done("solved")
    assert resumed.metrics == loop.metrics
    assert len(metrics(tmp_path)) == 3
