"""Progress of a command: a bar on a terminal, a plain line every tenth in a log; both on stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Called with (done, in all), whatever is counted.
Progress = Callable[[int, int], None]


@contextmanager
def reported(task: str) -> Iterator[Progress]:
    """A callback that shows how far `task` is; it may be called from several threads."""
    from rich.console import Console  # here, as every module that names the type would load it
    from rich.progress import Progress as Bar

    console = Console(stderr=True, soft_wrap=True)
    if console.is_terminal:
        with Bar(console=console) as bar:
            row = bar.add_task(task, total=None)
            yield lambda done, total: bar.update(row, completed=done, total=total)
        return
    tenth = 0

    def report(done: int, total: int) -> None:
        nonlocal tenth
        if done == 1:  # a task of several stages counts each from one
            tenth = 0
        if (reached := 10 * done // max(total, 1)) > tenth:
            tenth = reached
            console.print(f"{task}: {done} of {total}", highlight=False)

    yield report
