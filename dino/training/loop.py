"""The loop every stage runs in: progress, metrics, validation, interruption and exact resumption.

Nothing in it waits for a device between two validations or saves: losses stay where they were computed until then.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from data_pipeline.system.atomic import writing_file
from data_pipeline.system.progress import Progress

from ..errors import CheckpointError, NonFiniteError
from ..numerics.interruption import Interrupted, interruptible
from ..numerics.parallel import ALONE, Group
from ..numerics.threads import keep_threads_spare

__all__ = ["Interrupted", "Loop", "Stage", "load_training_state"]

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

    def step(self, index: int) -> Tensor:
        """Take one optimiser step and return the training loss, a number that may still be on its way."""
        ...

    def validate(self) -> float:
        """The loss on held-out data."""
        ...


class Losses:
    """Training losses since the last validation, read from their device only when somebody wants them."""

    def __init__(self, stage: str, read: list[float]) -> None:
        self._stage, self._read, self._waiting = stage, read, []
        self._last = read[-1] if read else None

    def add(self, index: int, loss: Tensor) -> None:
        """Note the loss of step `index`. On the host there is nothing to wait for and it is looked at right away."""
        self._waiting.append((index, loss))
        if loss.device.type == "cpu":
            self.read()

    def read(self) -> list[float]:
        """All losses so far; raises `NonFiniteError` that names the first step whose loss is no number."""
        if self._waiting:
            values = torch.stack([loss for _, loss in self._waiting]).tolist()
            for (index, _), value in zip(self._waiting, values, strict=True):
                if not value < float("inf"):
                    raise NonFiniteError(
                        f"the {self._stage} loss is {value} at step {index}; lower {self._stage}.learning_rate"
                    )
            self._read += values
            self._last = values[-1]
            self._waiting.clear()
        return self._read

    def note(self, validation: float) -> str:
        """The stage, its last training loss that is known and its best held-out one, in words."""
        parts = [] if self._last is None else [f"{self._stage} loss {self._last:.3g}"]
        if validation < float("inf"):
            parts.append(f"held-out {validation:.3g}")
        return ", ".join(parts) or self._stage

    def mean(self) -> float:
        """The mean since the last call; begins anew."""
        values = self.read()
        self._read = []
        return sum(values) / len(values)


class Loop:
    """Runs stages of one run folder and keeps `metrics.jsonl` and `state.pt` there.

    Of a group of processes each runs the loop, the first one alone reads and writes the folder, and all decide alike.
    """

    def __init__(self, folder: Path, resume: bool, save_every: int = 100, group: Group = ALONE) -> None:
        self.folder, self.save_every, self.group = folder, save_every, group
        self.saved = group.from_first(lambda: load_training_state(folder)) if resume else None
        self.finished: list[str] = list(self.saved["finished"]) if self.saved else []
        self.metrics: list[dict] = group.from_first(self._reopen)

    def _reopen(self) -> list[dict]:
        """The metrics up to the saved state, all that is left in the folder of an earlier run."""
        if not self.saved:  # a state left by an earlier run here must not be what a later --resume finds
            (self.folder / STATE_FILE).unlink(missing_ok=True)
        kept = self.saved["metrics"] if self.saved else 0
        path = self.folder / "metrics.jsonl"
        lines = path.read_text().splitlines()[:kept] if kept and path.exists() else []
        with writing_file(path) as partial:
            partial.write_text("".join(line + "\n" for line in lines))
        return [json.loads(line) for line in lines]

    def run(self, stage: Stage, report: Progress, patience: int | None = None) -> None:
        """Train a stage to its end or until `patience` validations bring nothing, and keep its best weights."""
        start, best = 0, {"loss": float("inf"), "step": -1, "model": None, "bad": 0}
        losses = Losses(stage.name, [])
        if self.saved and self.saved["stage"] == stage.name:
            start, best = self.saved["step"], self.saved["best"]
            losses = Losses(stage.name, list(self.saved["losses"]))
            stage.model.load_state_dict(self.saved["model"])
            stage.optimiser.load_state_dict(self.saved["optimiser"])
            stage.schedule.load_state_dict(self.saved["schedule"])
            stage.generator.set_state(self.saved["generator"])
        self.saved = None
        with interruptible() as stopped:
            for index in range(start, stage.steps):
                if patience is not None and best["bad"] >= patience:
                    break
                keep_threads_spare()
                losses.add(index, stage.step(index))
                done = index + 1
                if done % stage.check_every == 0 or done == stage.steps:
                    mean = losses.mean()
                    validation = self._agreed(stage.validate())
                    self._log(stage.name, done, mean, validation)
                    best = _better(best, validation, done, stage)
                report(done, stage.steps, losses.note(best["loss"]))
                stopping = self.group.any(stopped.is_set())
                if stopping or done % self.save_every == 0:
                    self._save(stage, done, best, losses.read())
                if stopping:
                    raise Interrupted(f"stopped at step {done} of the {stage.name} stage")
        if best["model"] is not None:
            stage.model.load_state_dict(best["model"])
        self.finished.append(stage.name)

    def _agreed(self, validation: float) -> float:
        """The first rank's number: best weights and patience must not differ between processors of different make."""
        return self.group.from_first(lambda: validation)

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
        if self.group.leads:
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
        if not self.group.leads:
            return
        with writing_file(self.folder / STATE_FILE) as partial:
            torch.save(state, partial)


def load_training_state(folder: Path) -> dict | None:
    """The state a run was left in, or None when it has none. Raises `CheckpointError` when it cannot be read."""
    path = folder / STATE_FILE
    if not path.exists():
        return None
    try:
        # On the host first: the run may go on with another device, or with several processes.
        return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises many types on a damaged archive
        raise CheckpointError(
            f"{path} is damaged ({type(error).__name__}); start the run anew without --resume"
        ) from error


def _better(best: dict, validation: float, step: int, stage: Stage) -> dict:
    if validation < best["loss"]:
        weights = {name: tensor.clone() for name, tensor in stage.model.state_dict().items()}
        return {"loss": validation, "step": step, "model": weights, "bad": 0}
    return {**best, "bad": best["bad"] + 1}
