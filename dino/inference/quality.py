"""What became of the observations of an analysis: which were dropped, which count less, which sources are biased."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Quality:
    """Numbers of observations, by what became of them.

    used : assimilated; duplicates : dropped, being there twice; missing : without a value, a time or a position
    outside : at other times than those analysed, or in no chart of the model
    known : of an earlier update, left out; late : older than the state that was updated, left out
    down_weighted : of those used, by source, that count less because they lie beyond the bound
    biases : by source and channel, estimated constant offsets [the channel's units]
    """

    used: int = 0
    duplicates: int = 0
    outside: int = 0
    missing: int = 0
    known: int = 0
    late: int = 0
    down_weighted: Mapping[str, int] = field(default_factory=dict)
    biases: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """One line of numbers, and one of biases where there are any."""
        dropped = {
            "duplicate": self.duplicates,
            "outside": self.outside,
            "without value, time or place": self.missing,
            "known already": self.known,
            "late": self.late,
        }
        parts = [f"{self.used} observations used"]
        parts += [f"{number} {what}" for what, number in dropped.items() if number]
        if self.down_weighted:
            whose = ", ".join(f"{source} {number}" for source, number in self.down_weighted.items())
            parts.append(f"{sum(self.down_weighted.values())} down-weighted ({whose})")
        told = [
            f"{source} {channel} {value:+.3g}"
            for source, channels in self.biases.items()
            for channel, value in channels.items()
        ]
        return ["; ".join(parts)] + (["estimated biases: " + ", ".join(told)] if told else [])

    def attributes(self) -> dict[str, int | str]:
        """The same as attributes of a file; what is by source is JSON."""
        numbers = {
            f"observations_{name}": getattr(self, name)
            for name in ("used", "duplicates", "outside", "missing", "known", "late")
        }
        by_source = {
            "observations_down_weighted": json.dumps(dict(self.down_weighted)),
            "observation_biases": json.dumps({name: dict(channels) for name, channels in self.biases.items()}),
        }
        return numbers | by_source
