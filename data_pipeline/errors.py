"""The errors a user can cause or mend: each message says what came, what was wanted and what to do."""


class DinoError(Exception):
    """Base of every error that a command reports in one sentence; `system.exit_codes` has the codes."""


def reason(error: Exception) -> str:
    """What an exception of a library says, on one line of bearable length."""
    return " ".join(str(error).split())[:200] or type(error).__name__


class MissingFileError(DinoError):
    """A file or store that was named does not exist."""


class UnknownProductError(DinoError):
    """A file opens, but no reader recognises what it holds, or it does not open at all."""


class UnitsError(DinoError):
    """A variable's units are missing, unknown or of another quantity."""


class EmptyDataError(DinoError):
    """Nothing valid is left: an empty window, only missing values, no observation in the domain."""


class NoValueError(EmptyDataError):
    """Files are sound, but none of the values of their points is valid; `left_out` names files that are not sound."""

    left_out: tuple[str, ...] = ()


class NothingNewError(EmptyDataError):
    """What was asked for is done already, or has nothing to be done with yet: no file of today, no file that is new."""


class SchemaError(DinoError):
    """A dataset or store breaks the layout of a field store or an observation store."""


class TimeError(SchemaError):
    """A time is none, has no reference, does not exist in its calendar, or lies beyond what a store holds."""


class StoreError(DinoError):
    """A store is incomplete, foreign, damaged or already there."""


class BusyError(StoreError):
    """Another process holds a store, an archive or a state; the same call may succeed in a moment."""


class ConfigError(DinoError):
    """A configuration has an unknown key or a value that is not allowed."""


class SimulationError(DinoError):
    """A simulated state left its physical range; the message names the sample and the time."""


class SchedulerError(DinoError):
    """A cluster does not answer, cannot run this program, or was lost."""


class MissingPackageError(DinoError):
    """A package that only an optional part needs is not installed; the message names the extra."""
