"""Errors of the forecasting package; all derive from :class:`data_pipeline.errors.DinoError`."""

from data_pipeline.errors import (
    BusyError,
    ConfigError,
    DinoError,
    EmptyDataError,
    MissingFileError,
    NothingNewError,
    SchemaError,
    TimeError,
    UnitsError,
)

__all__ = [
    "BusyError",
    "CheckpointError",
    "ConfigError",
    "DinoError",
    "DomainError",
    "EmptyDataError",
    "HorizonError",
    "MissingFileError",
    "NonFiniteError",
    "NothingNewError",
    "ObservationError",
    "ParallelError",
    "SchemaError",
    "TimeError",
    "UnitsError",
]


class CheckpointError(DinoError):
    """A run folder is missing, truncated, of another kind or does not fit this version."""


class DomainError(DinoError):
    """Coordinates lie outside the domain a model was built for."""


class HorizonError(DinoError):
    """A forecast is asked for so far ahead that its model knows nothing of it."""


class NonFiniteError(DinoError):
    """A computation left the finite numbers; the message names the sample and the time."""


class ObservationError(DinoError):
    """Observations have the wrong shape, channel, unit or range."""


class ParallelError(DinoError):
    """The processes of a training have lost each other."""
