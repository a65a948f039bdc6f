"""Progress of a command: a bar on a terminal, a plain line every tenth in a log; both on stderr."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from data_pipeline.system.voice import Voice, tell, voice

if TYPE_CHECKING:
    from rich.console import Console

LATE = 10.0  # seconds left from which on they are worth a word


class Progress(Protocol):
    """Told how many of how many steps are done, and in a few words what the step found."""

    def __call__(self, done: int, total: int, note: str = "", /) -> None: ...


def silent(done: int, total: int, note: str = "", /) -> None:
    """Says nothing."""


@contextmanager
def reported(task: str) -> Iterator[Progress]:
    """A callback that shows how far `task` is, and how long the rest will take; several threads may call it.

    A task of several stages counts each of them from one. Nothing is shown where the command is quiet.
    """
    if voice() is Voice.QUIET:
        yield silent
        return
    from rich.console import Console

    console = Console(stderr=True, soft_wrap=True)
    if not console.is_terminal:
        yield _Lines(task, console)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    with Bar(*columns, console=console) as bar:
        row = bar.add_task(task, total=None, note="")

        def show(done: int, total: int, note: str = "", /) -> None:
            if done == 1:  # the speed of an earlier stage says nothing of this one
                bar.reset(row)
            bar.update(row, completed=done, total=total, note=note)

        yield show


class _Lines:
    """A line every tenth of a stage."""

    def __init__(self, task: str, console: "Console") -> None:
        self.task, self.console = task, console
        self.done = self.first = self.tenth = 0
        self.began = time.monotonic()

    def __call__(self, done: int, total: int, note: str = "", /) -> None:
        if done == 1 or not self.done:
            self.tenth, self.began, self.first = 0, time.monotonic(), done
        self.done = done
        tenth = 10 * done // max(total, 1)
        if tenth <= self.tenth:
            return
        self.tenth = tenth
        parts = [f"{self.task}: {done} of {total}", note, self._left(total)]
        if voice() is Voice.JSON:
            told = ", ".join(part for part in parts if part)
            tell("info", "progress", told, task=self.task, done=done, total=total)
            return
        self.console.print(", ".join(part for part in parts if part), highlight=False, markup=False)

    def _left(self, total: int) -> str:
        if self.done <= self.first:
            return ""
        seconds = (time.monotonic() - self.began) / (self.done - self.first) * (total - self.done)
        return f"{duration(seconds)} left" if seconds > LATE else ""


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
