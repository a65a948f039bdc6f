"""The interface of transfer strategies and their register."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..config import TransferConfig
from ..errors import ConfigError
from ..forecaster import Forecaster
from ..observations import Observations

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Transferred:
    """What a strategy did: mean squared innovation over its expected variance on held-out observations, by round."""

    before: float
    after: float
    rounds: list[float]


class Strategy(Protocol):
    """Adapts the model of a forecaster in place to observations."""

    def __call__(
        self, forecaster: Forecaster, observations: Observations, config: TransferConfig, seed: int, report: Report
    ) -> Transferred:
        """Adapt `forecaster.model`; the best round on held-out observations is kept, or nothing is changed."""
        ...


def strategy(name: str) -> Strategy:
    """The strategy of that name; raises `ConfigError` for an unknown one."""
    from .modulation import adapt_modulation

    known: dict[str, Strategy] = {"modulation": adapt_modulation}
    if name not in known:
        raise ConfigError(f"unknown transfer strategy {name!r}; known: {', '.join(known)}")
    return known[name]
