"""What environments of many physics learn."""

from typing import Literal

from pydantic import Field

from .section import Section


class ForcingConfig(Section):
    """Candidates of a forcing that each environment has for itself: harmonics of the box times powers of the time."""

    channels: list[str] = Field(default=[], description="that may be forced; none by default")
    waves: int = Field(default=3, ge=1, description="the highest harmonic along each axis")
    powers: int = Field(
        default=0, ge=0, description="the highest power of the time, as it stands in the data: begin near zero"
    )


class PhysicsConfig(Section):
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
    waves: int | None = Field(
        default=None, ge=1, description="highest index of a wave kept along an axis; those of the grid when absent"
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
