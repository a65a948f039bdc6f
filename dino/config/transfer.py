"""What becomes of a run when it meets the observations of another ocean."""

from typing import Literal

from pydantic import Field, model_validator

from .section import Section

GONE_STRATEGIES = ("context", "shared-residual", "physics")
_GONE_TRANSFER_SETTINGS = {"learning_rate": 3e-3, "pull": 1.0, "context_size": 4, "hidden": 64}


def strategy_is_gone(name: str) -> str:
    """The sentence that refuses one of `GONE_STRATEGIES`."""
    return (
        f"transfer strategy {name!r} came, which is gone because it was nowhere better than 'statistics'; choose "
        "'statistics' or 'modulation', or for several physics the environments of docs/many-physics.md"
    )


class TransferConfig(Section):
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
