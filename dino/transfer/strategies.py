"""The strategies by name."""

from ..errors import ConfigError
from .adversarial import translate_codes
from .base import Strategy
from .context import adapt_context
from .full import adapt_everything
from .modulation import adapt_modulation
from .none import adapt_nothing
from .optimal_transport import transport_codes
from .physics import add_drift
from .shared_residual import add_residual
from .statistics import fit_statistics

STRATEGIES: dict[str, Strategy] = {
    "none": adapt_nothing,
    "statistics": fit_statistics,
    "modulation": adapt_modulation,
    "full": adapt_everything,
    "context": adapt_context,
    "shared-residual": add_residual,
    "adversarial": translate_codes,
    "optimal-transport": transport_codes,
    "physics": add_drift,
}


def strategy(name: str) -> Strategy:
    """The strategy of that name; raises `ConfigError` for an unknown one."""
    if name not in STRATEGIES:
        raise ConfigError(f"unknown transfer strategy {name!r}; known: {', '.join(STRATEGIES)}")
    return STRATEGIES[name]
