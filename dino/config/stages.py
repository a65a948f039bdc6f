"""The stages of training: decoder, codes, dynamics; and what training from points takes beside them."""

from typing import Any, Literal

from pydantic import Field, model_validator

from .section import Section


class DecoderConfig(Section):
    """Kind and sizes of the decoder; a setting of the other kind is without effect."""

    kind: Literal["fourier", "siren"] = "fourier"
    code_size: int = Field(default=64, ge=1)
    hidden: int = Field(default=64, ge=2, multiple_of=2)
    layers: int = Field(default=3, ge=1, description="layers behind the first; 1 when absent for kind siren")
    scale: float = Field(default=8.0, gt=0, description="fourier: spread of the filter frequencies")
    tracer_codes: int = Field(
        default=0,
        ge=0,
        description="of the code, what every tracer of two layers has for itself in training; 0: shared",
    )
    w0_first: float = Field(default=5.0, gt=0, description="siren: factor of the first layer's phase, its frequencies")
    w0_hidden: float = Field(default=1.0, gt=0, description="siren: factor of the other layers' phases")

    @model_validator(mode="before")
    @classmethod
    def _layers_of_the_kind(cls, settings: object) -> object:
        # Every sine layer takes the field further from its linearisation in the code: deeper ones train worse.
        if isinstance(settings, dict) and settings.get("kind") == "siren":
            return {"layers": 1} | settings
        return settings


class FieldConfig(Section):
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


class DynamicsConfig(Section):
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

    @model_validator(mode="before")
    @classmethod
    def _without_drift(cls, given: Any) -> Any:
        # Runs of earlier versions say that they have no slow levels, which are gone.
        if isinstance(given, dict) and given.get("drift") is False:
            return {name: value for name, value in given.items() if name != "drift"}
        return given


class PointsConfig(Section):
    """Training from points alone, where a store holds no complete maps."""

    steps: int = Field(default=200, ge=1, description="steps of descent on the evidence, all weights free")
    rounds: int = Field(
        default=2, ge=1, description="layers: oceans simulated, and numbers fitted to the points, in turn"
    )
    runs: int = Field(default=48, ge=4, description="layers: simulated oceans of every round but the last")
    oceans: int = Field(default=128, ge=8, description="layers: simulated oceans that the run is trained on at last")
    days: float = Field(default=30.0, gt=2, description="layers: length of a simulated ocean's record")
