"""What a command ends with, so that a script can decide; the table is in docs/service.md."""

from enum import IntEnum

from data_pipeline.errors import BusyError, DinoError, NothingNewError


class ExitCode(IntEnum):
    """The codes of both programs."""

    DONE = 0
    """All of it is done."""
    FAULT = 1
    """Somebody must look: a fault of the program (with its traceback), an unsound store, bad files left out."""
    REFUSED = 2
    """Wrong input or options, or a path that the system does not let be written (a full disk, missing rights)."""
    NOTHING_NEW = 3
    """No file of that name yet, or none that is new; nothing was changed."""
    BUSY = 75
    """Another process holds the archive, store or state: the same command may succeed in a moment (EX_TEMPFAIL)."""
    INTERRUPTED = 130
    """Ctrl-C, or a scheduler's notice that was heeded."""


def exit_code(error: BaseException) -> ExitCode:
    """The code for an error that ended a command."""
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    if isinstance(error, BusyError):
        return ExitCode.BUSY
    if isinstance(error, NothingNewError):
        return ExitCode.NOTHING_NEW
    # What the system has against a path; an OSError without one is nothing that a user named.
    refused = isinstance(error, DinoError) or (isinstance(error, OSError) and error.filename is not None)
    return ExitCode.REFUSED if refused else ExitCode.FAULT
