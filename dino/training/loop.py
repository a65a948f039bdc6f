"""The loop every stage runs in: progress, metrics, validation, interruption and exact resumption."""

import json
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch

from ..errors import CheckpointError, NonFiniteError

Report = Callable[[int, int], None]
STATE_FILE = "state.pt"


class Stage(Protocol):
    """One stage of training; everything random comes from `generator`."""

    name: str
    steps: int
    check_every: int
    generator: torch.Generator
    model: Any

    @property
    def optimiser(self) -> torch.optim.Optimizer:
        """The optimiser, for its state."""
        ...

    @property
    def schedule(self) -> torch.optim.lr_scheduler.LRScheduler:
        """The learning-rate schedule, for its state."""
        ...

    def step(self, index: int) -> float:
        """Take one optimiser step and return the training loss."""
        ...

    def validate(self) -> float:
        """The loss on held-out data."""
        ...


class Interrupted(Exception):
    """Ctrl-C was pressed; the state is saved and the run can be resumed."""


class Loop:
    """Runs stages of one run folder and keeps `metrics.jsonl` and `state.pt` there."""

    def __init__(self, folder: Path, resume: bool, save_every: int = 100) -> None:
        self.folder, self.save_every = folder, save_every
        self.saved = load_state(folder) if resume else None
        if not resume:  # a state left by an earlier run here must not be what a later --resume finds
            (folder / STATE_FILE).unlink(missing_ok=True)
        self.finished: list[str] = list(self.saved["finished"]) if self.saved else []
        kept = self.saved["metrics"] if self.saved else 0
        path = folder / "metrics.jsonl"
        lines = path.read_text().splitlines()[:kept] if kept and path.exists() else []
        self.metrics: list[dict] = [json.loads(line) for line in lines]
        path.write_text("".join(line + "\n" for line in lines))

    def run(self, stage: Stage, report: Report, patience: int | None = None) -> None:
        """Train a stage to its end or until `patience` validations bring nothing, and keep its best weights."""
        start, best = 0, {"loss": float("inf"), "step": -1, "model": None, "bad": 0}
        losses: list[float] = []
        if self.saved and self.saved["stage"] == stage.name:
            start, best, losses = self.saved["step"], self.saved["best"], list(self.saved["losses"])
            stage.model.load_state_dict(self.saved["model"])
            stage.optimiser.load_state_dict(self.saved["optimiser"])
            stage.schedule.load_state_dict(self.saved["schedule"])
            stage.generator.set_state(self.saved["generator"])
        self.saved = None
        with _interruptible() as stopped:
            for index in range(start, stage.steps):
                if patience is not None and best["bad"] >= patience:
                    break
                loss = stage.step(index)
                if not loss < float("inf"):
                    raise NonFiniteError(
                        f"the {stage.name} loss is {loss} at step {index}; lower {stage.name}.learning_rate"
                    )
                losses.append(loss)
                done = index + 1
                report(done, stage.steps)
                if done % stage.check_every == 0 or done == stage.steps:
                    validation = stage.validate()
                    self._log(stage.name, done, sum(losses) / len(losses), validation)
                    losses.clear()
                    best = _better(best, validation, done, stage)
                if stopped.is_set() or done % self.save_every == 0:
                    self._save(stage, done, best, losses)
                if stopped.is_set():
                    raise Interrupted(f"stopped at step {done} of the {stage.name} stage")
        if best["model"] is not None:
            stage.model.load_state_dict(best["model"])
        self.finished.append(stage.name)

    def record(self, stage: str, validations: Sequence[float]) -> None:
        """Note a stage that was solved rather than descended: the held-out loss after each of its rounds."""
        self.saved = None
        for index, validation in enumerate(validations):
            self._log(stage, index + 1, None, validation)
        self.finished.append(stage)

    def done(self, name: str) -> bool:
        """Whether a stage was finished before the run was resumed."""
        return name in self.finished

    def checkpoint(self, model: torch.nn.Module, generator: torch.Generator) -> None:
        """Save between stages."""
        self._write(
            {
                "stage": None,
                "step": 0,
                "finished": self.finished,
                "metrics": len(self.metrics),
                "model": model.state_dict(),
                "generator": generator.get_state(),
            }
        )

    def restore(self, model: torch.nn.Module, generator: torch.Generator) -> None:
        """Put back the weights and the generator of a resumed run, whichever stage it was in."""
        if self.saved:
            model.load_state_dict(self.saved["model"])
            generator.set_state(self.saved["generator"])

    def _log(self, stage: str, step: int, train: float | None, validation: float) -> None:
        record = {"stage": stage, "step": step, "train": train, "validation": validation}
        self.metrics.append(record)
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")

    def _save(self, stage: Stage, step: int, best: dict, losses: list[float]) -> None:
        self._write(
            {
                "stage": stage.name,
                "step": step,
                "finished": self.finished,
                "metrics": len(self.metrics),
                "best": best,
                "losses": losses,
                "model": stage.model.state_dict(),
                "optimiser": stage.optimiser.state_dict(),
                "schedule": stage.schedule.state_dict(),
                "generator": stage.generator.get_state(),
            }
        )

    def _write(self, state: dict) -> None:
        partial = self.folder / (STATE_FILE + ".partial")
        torch.save(state, partial)
        partial.replace(self.folder / STATE_FILE)


def load_state(folder: Path) -> dict | None:
    """The state a run was left in, or None when it has none. Raises `CheckpointError` when it cannot be read."""
    path = folder / STATE_FILE
    if not path.exists():
        return None
    try:
        return torch.load(path, weights_only=True)
    except Exception as error:  # torch raises many types on a damaged archive
        raise CheckpointError(
            f"{path} is damaged ({type(error).__name__}); start the run anew without --resume"
        ) from error


def _better(best: dict, validation: float, step: int, stage: Stage) -> dict:
    if validation < best["loss"]:
        weights = {name: tensor.clone() for name, tensor in stage.model.state_dict().items()}
        return {"loss": validation, "step": step, "model": weights, "bad": 0}
    return {**best, "bad": best["bad"] + 1}


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turns the first Ctrl-C into a flag, so that a step is never cut in half; the second one is not caught."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return

    def handle(signum: int, frame: object) -> None:
        flag.set()
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, previous)
