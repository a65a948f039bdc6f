"""Experiment configuration: small pydantic models, YAML files and dotted overrides."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_pipeline.layout.moments import MomentSetting
from data_pipeline.system.settings import load_settings

Box = tuple[float, float, float, float]
"""West, east, south and north [degrees]; east of west, so that a box may lie across 180 degrees."""

LONGEST_HORIZON = 31  # frames; model error is kept for as many leads

GONE_STRATEGIES = ("context", "shared-residual", "physics")
_GONE_TRANSFER_SETTINGS = {"learning_rate": 3e-3, "pull": 1.0, "context_size": 4, "hidden": 64}


def strategy_is_gone(name: str) -> str:
    """The sentence that refuses one of `GONE_STRATEGIES`."""
    return (
        f"transfer strategy {name!r} came, which is gone because it was nowhere better than 'statistics'; choose "
        "'statistics' or 'modulation', or for several physics the environments of docs/many-physics.md"
    )


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StoreConfig(_Section):
    """One training store, or every store that a pattern such as `stores/oceans/*.zarr` finds, and how it is cut."""

    path: Path
    channels: list[str] | None = Field(default=None, description="names in this store; data.channels when absent")
    climatology: Literal["map", "constant"] = "constant"
    tile_degrees: float | None = Field(default=None, gt=0, description="tile size; the domain's when absent")
    weight: float = Field(
        default=1.0, gt=0, description="relative share of training batches, of all stores that a pattern finds together"
    )
    exclude: list[Box] = Field(
        default=[], description="tiles: west, east, south, north of areas; tiles that touch one are not trained on"
    )


class DataConfig(_Section):
    """What a model learns from. The first store is the ocean the run will forecast."""

    stores: list[StoreConfig] = Field(min_length=1)
    channels: list[str] = Field(min_length=1)
    hidden: list[str] = Field(
        default=[],
        description="channels of simulations that nobody observes: the decoder learns them behind the others, the "
        "dynamics use them, and the finished run shows only what they say of the others",
    )
    simulated: "DataConfig | None" = Field(
        default=None, description="of a relocated run: what it was trained on, and when; transfer compares with it"
    )
    train_start: MomentSetting | None = None
    train_end: MomentSetting | None = Field(
        default=None, description="last moment of the first store that training may see"
    )
    translations: int = Field(
        default=1, ge=1, description="copies of every training trajectory on a periodic box, each moved at random"
    )
    symmetries: int = Field(
        default=1, ge=1, description="copies of every training trajectory, moved by the symmetries its store declares"
    )
    mirrors: bool = Field(
        default=False,
        description="tiles: copies mirrored into the other hemisphere, with high and low exchanged, and both",
    )
    keep: float = Field(default=1.0, gt=0, le=1, description="share of the grid cells that training may see")
    keep_seed: int = Field(default=0, ge=0, description="seed of the random cells that are kept")
    memory_gb: float = Field(
        default=1.0, gt=0, description="values of a store that are held in memory; a larger store is streamed"
    )
    validation_days: float = Field(default=10.0, ge=0, description="last days of the training period held out")
    validation_trajectories: float = Field(default=0.125, ge=0, lt=1, description="share held out, of eight or more")
    validation_areas: list[Box] = Field(
        default=[],
        description="tiles: areas of the first store to validate on, in place of days; tiles that touch one are not "
        "trained on, those with their centre in one are validated on",
    )


class DomainConfig(_Section):
    """Where the field lives; `auto` takes a periodic box, the sphere or a region from the store."""

    kind: Literal["auto", "sphere", "region", "periodic_box", "tiles"] = "auto"
    tile_degrees: float = Field(default=4.0, gt=0)
    overlap: float = Field(default=0.5, ge=0, lt=1)
    minimum_valid: float = Field(
        default=0.4, gt=0, le=1, description="share of ocean cells below which a tile is dropped"
    )
    maximum_latitude: float = Field(default=66.0, gt=0, le=89)


class DecoderConfig(_Section):
    """Kind and sizes of the decoder; a setting of the other kind is without effect."""

    kind: Literal["fourier", "siren"] = "fourier"
    code_size: int = Field(default=64, ge=1)
    hidden: int = Field(default=64, ge=2, multiple_of=2)
    layers: int = Field(default=3, ge=1, description="layers behind the first; 1 when absent for kind siren")
    scale: float = Field(default=8.0, gt=0, description="fourier: spread of the filter frequencies")
    w0_first: float = Field(default=5.0, gt=0, description="siren: factor of the first layer's phase, its frequencies")
    w0_hidden: float = Field(default=1.0, gt=0, description="siren: factor of the other layers' phases")

    @model_validator(mode="before")
    @classmethod
    def _layers_of_the_kind(cls, settings: object) -> object:
        # Every sine layer takes the field further from its linearisation in the code: deeper ones train worse.
        if isinstance(settings, dict) and settings.get("kind") == "siren":
            return {"layers": 1} | settings
        return settings


class FieldConfig(_Section):
    """Training of the decoder by variable projection."""

    steps: int = Field(default=400, ge=1)
    learning_rate: float = Field(default=1e-2, gt=0)
    groups_per_step: int = Field(default=24, ge=1, description="tiles or trajectories a step")
    frames_per_step: int = Field(default=256, ge=1, description="maps a step, over all groups")
    ridge: float = Field(default=1e-2, gt=0)
    points_per_map: int = Field(default=256, ge=1, description="siren: random points of every map that a step sees")
    inner_iterations: int = Field(default=4, ge=1, description="siren: Gauss-Newton iterations for the codes of a step")
    noise_std: float = Field(
        default=0.1, gt=0, description="misfit std assumed when encoding maps, relative to the field's"
    )
    prior_rounds: int = Field(default=3, ge=1, description="rounds of expectation-maximisation for the code covariance")


class DynamicsConfig(_Section):
    """Training of the latent ODE.

    A network by multiple shooting, a quadratic form by linear least squares, or the numbers of two layers of
    quasi-geostrophic flow, the lower of which is a hidden channel, with the tracers that the upper one carries.
    """

    form: Literal["network", "quadratic", "layers"] = "network"
    points: int = Field(
        default=28, ge=8, le=512, description="layers: points a side at which products are taken, two a wave at least"
    )
    tracers: int = Field(default=0, ge=0, description="layers: channels behind the sea level that its flow carries")
    rounds: int = Field(default=5, ge=2, description="least-squares rounds of the quadratic form")
    ridge: float = Field(default=1e-6, gt=0, description="least penalty on coefficients of the quadratic form")
    products: int = Field(default=5000, ge=1, description="products of modes that the quadratic form keeps at most")
    descent_steps: int = Field(
        default=0,
        ge=0,
        description="steps of descent on the error of forecasts after the rounds of least squares",
    )
    descent_rate: float = Field(default=1e-5, gt=0, description="learning rate of that descent")
    order: int = Field(default=2, ge=1, le=3)
    lags: int = Field(default=9, ge=1, description="past differences that initialise the tendency")
    hidden: int = Field(default=256, ge=1)
    depth: int = Field(default=3, ge=0, description="layers of the MLP; 0 leaves the linear part alone")
    steps: int = Field(default=800, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    horizons: list[int] = Field(default=[2, 5, 10], min_length=1, description="frames forecast, in stages")
    segments_per_step: int = Field(default=1024, ge=1, description="forecast frames a step: segments times horizon")
    step_days: float | None = Field(default=None, gt=0, description="solver step; the frame interval when absent")
    method: Literal["midpoint", "rk4"] = "rk4"
    patience: int = Field(default=6, ge=1, description="validations without improvement before stopping")
    drift: bool = Field(
        default=False,
        description="tiles: their means have a slow level and slope that outlive training, where a sea rises for weeks",
    )


class SourceErrors(_Section):
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


class ErrorsConfig(_Section):
    """Errors by how an instrument looks: a line below a satellite, a swath, or single points."""

    nadir: SourceErrors = SourceErrors()
    swath: SourceErrors = SourceErrors(along_km=30.0, roll=0.01, phase=0.005, timing=0.005)
    point: SourceErrors = SourceErrors(white=0.03, along=0.0, offset=0.0)


class AssimilationConfig(_Section):
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


class TransferConfig(_Section):
    """Adaptation to sparse observations; what a strategy does not use is without effect."""

    strategy: Literal[
        "none",
        "statistics",
        "modulation",
        "pace",
        "numbers",
        "adversarial",
        "optimal-transport",
    ] = "modulation"
    rounds: int = Field(default=3, ge=1, description="alternations of analysis and adaptation")
    steps: int = Field(default=60, ge=1, description="steps of descent a round")
    window_days: float = Field(default=15.0, gt=0, description="days analysed, at most the assimilation's window")
    horizon_days: float = Field(default=5.0, gt=0, description="days after a window whose observations are forecast")
    stride_days: float = Field(default=2.0, gt=0, description="days between the ends of windows")
    held_share: float = Field(default=0.25, gt=0, lt=1, description="share of the windows held out, the last ones")

    @model_validator(mode="before")
    @classmethod
    def _of_strategies_there_are(cls, settings: object) -> object:
        if not isinstance(settings, dict):
            return settings
        if settings.get("strategy") in GONE_STRATEGIES:
            raise ValueError(strategy_is_gone(settings["strategy"]))
        # Every run of an earlier version lists the defaults, which nobody chose: they are dropped.
        for name, default in _GONE_TRANSFER_SETTINGS.items():
            if name in settings and settings[name] != default:
                raise ValueError(
                    f"{name}: {settings[name]} came, a setting of the strategies {', '.join(GONE_STRATEGIES)}, which "
                    f"are gone; leave it out, no strategy that is left uses it"
                )
        return {name: value for name, value in settings.items() if name not in _GONE_TRANSFER_SETTINGS}


class PointsConfig(_Section):
    """Training from points alone, where a store holds no complete maps."""

    steps: int = Field(default=200, ge=1, description="steps of descent on the evidence, all weights free")
    rounds: int = Field(
        default=2, ge=1, description="layers: oceans simulated, and numbers fitted to the points, in turn"
    )
    runs: int = Field(default=48, ge=4, description="layers: simulated oceans of every round but the last")
    oceans: int = Field(default=128, ge=8, description="layers: simulated oceans that the run is trained on at last")
    days: float = Field(default=30.0, gt=2, description="layers: length of a simulated ocean's record")


class EvaluationConfig(_Section):
    """What is scored and how."""

    leads_days: list[float] = Field(default=[1.0, 3.0, 5.0, 7.0, 10.0], min_length=1)
    start: MomentSetting | None = Field(
        default=None, description="first day scored; after the training period when absent"
    )
    end: MomentSetting | None = None
    remove_mean: bool = Field(default=False, description="remove every map's area mean before scoring")
    stride: int = Field(default=1, ge=1, description="every n-th map starts a forecast")


class ForcingConfig(_Section):
    """Candidates of a forcing that each environment has for itself: harmonics of the box times powers of the time."""

    channels: list[str] = Field(default=[], description="that may be forced; none by default")
    waves: int = Field(default=3, ge=1, description="the highest harmonic along each axis")
    powers: int = Field(
        default=0, ge=0, description="the highest power of the time, as it stands in the data: begin near zero"
    )


class PhysicsConfig(_Section):
    """How `dino.fit` learns the equations of several environments from their trajectories."""

    candidates: list[str] | None = Field(
        default=None,
        description="terms, see dino.dynamics.terms; when absent those of a library of `order` and `degree`",
    )
    order: int = Field(default=4, ge=0, le=4, description="highest derivative of the library")
    degree: int = Field(default=2, ge=1, le=4, description="most channels that a term of the library multiplies")
    sizes: dict[str, float] = Field(
        default={}, description="coefficients of some candidates as far as known, an order of magnitude and the sign"
    )
    forcing: ForcingConfig = ForcingConfig()
    products: Literal["exact", "grid"] = Field(
        default="exact", description="grid: at the points of the data, as a simulation by differences takes them"
    )
    refine: int = Field(default=1, ge=1, le=16, description="waves kept along an axis over those of the data's grid")
    closure: float = Field(default=0.0, ge=0, description="damping of the shortest wave that is kept [1/interval]")
    rounds: int = Field(default=6, ge=2, description="of expectation-maximisation")
    neglect: float = Field(
        default=1e-8, ge=0, description="share of a frame's change below which what environments differ in is left out"
    )
    most_trajectories: int = Field(default=8, ge=1, description="of an environment that are learned from")
    most_frames: int = Field(default=64, ge=3, description="of a trajectory that are learned from, the first ones")
    step_error: float = Field(
        default=1e-5, gt=0, lt=0.1, description="of a solver step, as a share of the change from frame to frame"
    )
    seed: int = 0


class Config(_Section):
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
        can_drift = self.domain.kind == "tiles" and self.decoder.kind == "fourier" and self.dynamics.form == "network"
        if self.dynamics.drift and not can_drift:
            raise ValueError(
                "dynamics.drift wants domain.kind=tiles and decoder.kind=fourier: a slow level is a uniform field of a "
                f"tile; came {self.domain.kind} and {self.decoder.kind}"
            )
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

    def to_yaml(self) -> str:
        """The resolved configuration as YAML, readable back by `load_config`; its end is marked, as "..."."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, explicit_end=True)


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML experiment and apply overrides such as `dynamics.order=1`.

    Raises `MissingFileError` or `ConfigError`; relative store paths are taken from the working directory.
    """
    return load_settings(Config, Path(path), overrides)
