"""Many files at a time: each is identified, read and digested by itself, so that a bad one is known by name."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import dask.base
from dask.delayed import delayed

from data_pipeline.errors import DinoError, SchedulerError
from data_pipeline.system.scheduler import in_order, on_a_cluster

Result = TypeVar("Result")


@dataclass(frozen=True)
class Failure:
    """A file that could not be used, and why."""

    path: Path
    error: DinoError


def read_each(
    paths: Sequence[Path], read: Callable[[Path], Result], strict: bool
) -> tuple[list[tuple[Path, Result]], list[Failure]]:
    """(what `read` made of each good file, failures), in the order of `paths`.

    Files are read at once by a cluster that is connected, or by the scheduler that dask is set to, else one after the
    other. With `strict` the first error that is met is raised and the rest left unread; when no file is good, that of
    the first one.
    """
    if on_a_cluster():
        # Workers have working directories of their own.
        outcomes = list(in_order(_outcome_there, [path.absolute() for path in paths], (read, strict)))
    elif len(paths) == 1 or dask.base.get_scheduler() is None:
        outcomes = [_outcome(path, read, strict) for path in paths]
    else:
        task = delayed(_outcome, pure=False)
        try:
            outcomes = dask.base.compute(*(task(path, read, strict) for path in paths))
        except DinoError as error:  # that of another process carries a traceback in its text
            raise getattr(error, "exception", error) from error
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    if len(failures) == len(outcomes):
        raise failures[0].error
    pairs = zip(paths, outcomes, strict=True)
    return [(path, outcome) for path, outcome in pairs if not isinstance(outcome, Failure)], failures


def _outcome_there(how: tuple[Callable[[Path], Any], bool], path: Path) -> Any:
    """In a worker, which must not take a file that it cannot see for a bad one."""
    if not path.exists():
        raise SchedulerError(
            f"a worker on {platform.node()!r} does not see {path.name!r}; scheduler and workers need the same files "
            "under the same paths"
        )
    return _outcome(path, *how)


def _outcome(path: Path, read: Callable[[Path], Any], strict: bool) -> Any:
    try:
        return read(path)
    except DinoError as error:
        if strict:
            raise
        return Failure(path, error)
