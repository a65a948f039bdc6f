"""Experiment configuration: small pydantic models, YAML files and dotted overrides."""

from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import model_validator

from data_pipeline.system.settings import load_settings

from .inference import AssimilationConfig, ErrorsConfig, EvaluationConfig, SourceErrors
from .physics import ForcingConfig, PhysicsConfig
from .section import LONGEST_HORIZON, Box, Section
from .stages import DecoderConfig, DynamicsConfig, FieldConfig, PointsConfig
from .stores import DataConfig, DomainConfig, StoreConfig
from .transfer import GONE_STRATEGIES, TransferConfig, strategy_is_gone

__all__ = [
    "GONE_STRATEGIES",
    "LONGEST_HORIZON",
    "AssimilationConfig",
    "Box",
    "Config",
    "DataConfig",
    "DecoderConfig",
    "DomainConfig",
    "DynamicsConfig",
    "ErrorsConfig",
    "EvaluationConfig",
    "FieldConfig",
    "ForcingConfig",
    "PhysicsConfig",
    "PointsConfig",
    "SourceErrors",
    "StoreConfig",
    "TransferConfig",
    "load_config",
    "strategy_is_gone",
]


class Config(Section):
    """One experiment, from stores to scores."""

    seed: int = 0
    device: str = "cpu"
    data: DataConfig
    domain: DomainConfig = DomainConfig()
    decoder: DecoderConfig = DecoderConfig()
    field: FieldConfig = FieldConfig()
    dynamics: DynamicsConfig = DynamicsConfig()
    assimilation: AssimilationConfig = AssimilationConfig()
    transfer: TransferConfig = TransferConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    points: PointsConfig = PointsConfig()

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        horizons = self.dynamics.horizons
        if horizons != sorted(horizons) or horizons[0] < 1 or horizons[-1] > LONGEST_HORIZON:
            raise ValueError(f"dynamics.horizons must ascend within 1..{LONGEST_HORIZON} frames")
        if self.dynamics.form == "quadratic" and (self.dynamics.order != 1 or self.domain.kind == "tiles"):
            raise ValueError("dynamics.form=quadratic wants dynamics.order=1 and a single chart, not tiles")
        if self.dynamics.form == "layers":
            seen = 1 + self.dynamics.tracers
            if len(self.data.channels) != seen or len(self.data.hidden) != 1 or self.domain.kind != "periodic_box":
                raise ValueError(
                    "dynamics.form=layers wants domain.kind=periodic_box, the sea level and then "
                    f"dynamics.tracers={self.dynamics.tracers} tracers in data.channels, and the lower layer in "
                    f"data.hidden; came {self.domain.kind}, {self.data.channels} and {self.data.hidden}"
                )
            if self.dynamics.order != 1 or self.decoder.kind != "fourier":
                raise ValueError("dynamics.form=layers wants dynamics.order=1 and decoder.kind=fourier")
        elif self.dynamics.tracers or self.data.hidden:
            raise ValueError("data.hidden and dynamics.tracers want dynamics.form=layers; others learn from maps alone")
        if self.dynamics.descent_steps and self.dynamics.form != "quadratic":
            raise ValueError("dynamics.descent_steps wants dynamics.form=quadratic; a network has dynamics.steps")
        if self.domain.kind == "tiles" and (self.data.keep < 1 or self.data.symmetries > 1):
            raise ValueError("data.keep and data.symmetries want a single chart, not domain.kind=tiles")
        boxes = self.data.validation_areas + [box for store in self.data.stores for box in store.exclude]
        if boxes and self.domain.kind != "tiles":
            raise ValueError(
                "data.stores[].exclude and data.validation_areas leave out tiles: they want domain.kind=tiles"
            )
        for west, east, south, north in boxes:
            if not (west < east <= west + 360 and -90 <= south < north <= 90):
                raise ValueError(f"the area {west:g}, {east:g}, {south:g}, {north:g} is not west, east, south, north")
        if self.data.mirrors and self.domain.kind != "tiles":
            raise ValueError("data.mirrors wants domain.kind=tiles; data.symmetries serves a single chart")
        if self.data.keep < 1 and any(store.climatology == "map" for store in self.data.stores):
            raise ValueError("data.keep < 1 leaves cells without a mean; set climatology: constant")
        return self

    @model_validator(mode="after")
    def _parts(self) -> "Config":
        decoder, tracers = self.decoder, self.dynamics.tracers
        taken = decoder.tracer_codes * max(1, tracers)
        if taken and (not tracers or taken >= decoder.code_size or decoder.hidden % (2 * (1 + tracers))):
            raise ValueError(
                "decoder.tracer_codes wants dynamics.tracers, codes left for the flow, and a decoder.hidden of "
                f"an even number for the flow and for each tracer; came {decoder.tracer_codes} of {decoder.code_size} "
                f"codes, {tracers} tracers and hidden {decoder.hidden}"
            )
        return self

    def to_yaml(self) -> str:
        """The resolved configuration as YAML, readable back by `load_config`; its end is marked, as "..."."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, explicit_end=True)


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML experiment and apply overrides such as `dynamics.order=1`.

    Raises `MissingFileError` or `ConfigError`; relative store paths are taken from the working directory.
    """
    return load_settings(Config, Path(path), overrides)
