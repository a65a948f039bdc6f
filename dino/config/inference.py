"""Observations and their errors, the window in which they are analysed, and scores."""

from typing import Literal

from pydantic import Field, model_validator

from data_pipeline.layout.moments import MomentSetting

from .section import Section


class SourceErrors(Section):
    """Standard deviations [units of the channel] of the errors of one kind of instrument, where a store gives none.

    white : of every point for itself; along : of what neighbours along the track share, over `along_km`; offset : of
    one overflight; roll, phase, baseline, timing : at the edge of a swath, shared along `shape_km`
    """

    white: float = Field(default=0.015, gt=0)
    along: float = Field(default=0.02, ge=0)
    along_km: float = Field(default=50.0, gt=0)
    offset: float = Field(default=0.01, ge=0)
    roll: float = Field(default=0.0, ge=0)
    phase: float = Field(default=0.0, ge=0)
    baseline: float = Field(default=0.0, ge=0)
    timing: float = Field(default=0.0, ge=0)
    shape_km: float = Field(default=1000.0, gt=0)


class ErrorsConfig(Section):
    """Errors by how an instrument looks: a line below a satellite, a swath, or single points."""

    nadir: SourceErrors = SourceErrors()
    swath: SourceErrors = SourceErrors(along_km=30.0, roll=0.01, phase=0.005, timing=0.005)
    point: SourceErrors = SourceErrors(white=0.03, along=0.0, offset=0.0)


class AssimilationConfig(Section):
    """The window in which sparse observations are analysed."""

    method: Literal["filter", "window"] = "filter"
    window_days: float = Field(default=15.0, ge=0)
    iterations: int = Field(default=6, ge=1)
    node_days: float = Field(
        default=1.0, gt=0, description="spacing of trajectory nodes between which observations fall"
    )
    errors: ErrorsConfig = Field(default=ErrorsConfig(), description="of observations whose store gives none")
    bound: float | None = Field(
        default=3.0, gt=0, description="misfits of more standard deviations are down-weighted; null counts all in full"
    )
    bias_error: float = Field(
        default=0.0, ge=0, description="std of a constant offset of each source in each channel [units]; 0 for none"
    )

    @model_validator(mode="before")
    @classmethod
    def _errors_by_view(cls, settings: object) -> object:
        if isinstance(settings, dict) and "default_error" in settings:
            raise ValueError(
                f"default_error: {settings['default_error']} came, of an earlier version; errors go by how an "
                "instrument looks: write errors.nadir, errors.swath and errors.point with white, along and offset "
                "each, or leave it out for their defaults"
            )
        return settings


class EvaluationConfig(Section):
    """What is scored and how."""

    leads_days: list[float] = Field(default=[1.0, 3.0, 5.0, 7.0, 10.0], min_length=1)
    start: MomentSetting | None = Field(
        default=None, description="first day scored; after the training period when absent"
    )
    end: MomentSetting | None = None
    remove_mean: bool = Field(default=False, description="remove every map's area mean before scoring")
    stride: int = Field(default=1, ge=1, description="every n-th map starts a forecast")
