"""What a trained run can do on maps it did not learn from, part by part: so that one knows which part failed."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from data_pipeline.system.atomic import writing_file

from ..data.codes import CodeSeries
from ..data.series import Series
from ..model import LatentModel
from ..space.decoders import decode
from .code_statistics import encode_series
from .dynamics_stage import forecast_errors

FILE = "held_out.json"
VALUES = 2**24  # of held-out maps that are looked at; fewer maps of very large ones


@dataclass(frozen=True)
class HeldOut:
    """Of held-out maps: the share of variance that the decoder explains, and the error of forecasts by lead.

    error_over_persistence : RMSE of forecasts from maps over that of persistence, at `lead_days`
    wanted_days : the longest lead that `dynamics.horizons` names, longer than the last of `lead_days` where the
    held-out record is too short to verify it
    of : what was held out, "maps" or "points" (of which the explained share holds errors of instruments)
    """

    explained: float
    lead_days: list[float]
    error_over_persistence: list[float]
    wanted_days: float
    of: str = "maps"

    def lines(self) -> list[str]:
        """What to tell the user, a sentence for each part."""
        errors = ", ".join(
            f"{error:.2f} at {lead:g} d"
            for lead, error in zip(self.lead_days, self.error_over_persistence, strict=True)
        )
        lines = [
            f"decoder: explains {100 * self.explained:.1f} % of the variance of held-out {self.of}",
            f"dynamics: error of forecasts over that of persistence on held-out {self.of} {errors}",
        ]
        if self.wanted_days > self.lead_days[-1]:
            lines.append(f"dynamics: no held-out record is long enough to verify the {self.wanted_days:g} d asked for")
        return lines

    def write(self, folder: Path) -> None:
        """Write `held_out.json` of a run, whole or not at all."""
        with writing_file(folder / FILE) as partial:
            partial.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "HeldOut":
        """What `write` has left."""
        return cls(**json.loads((folder / FILE).read_text()))


@torch.no_grad()
def measure_held_out(model: LatentModel, maps: Series, codes: CodeSeries) -> HeldOut:
    """Measure a trained model on held-out `maps` and on the `codes` of those that have a history before them."""
    interval, horizons = model.spec.interval_days, model.spec.dynamics.horizons
    error, change = forecast_errors(model, codes, horizons[-1])
    leads = sorted({min(horizon, len(error)) for horizon in horizons})
    ratio = (error / change).sqrt()
    return HeldOut(
        explained=explained_share(model, maps),
        lead_days=[lead * interval for lead in leads],
        error_over_persistence=[round(float(ratio[lead - 1]), 4) for lead in leads],
        wanted_days=horizons[-1] * interval,
    )


@torch.no_grad()
def explained_share(model: LatentModel, maps: Series) -> float:
    """Share of the mean squared anomaly of maps, all channels together, that their codes give back."""
    step = max(1, -(-maps.values.numel() // VALUES))
    wrong = whole = 0.0
    for row in range(0, maps.count, step):
        one = maps.subset(slice(row, row + 1))
        codes, _ = encode_series(model, one, model.code_prior)
        left = one.values - decode(model.decoder, one.coordinates, codes)
        weights = one.weights[:, None].expand_as(left)
        seen = weights > 0
        wrong += float((weights * left.square())[seen].sum())
        whole += float((weights * one.values.square())[seen].sum())
    return round(1.0 - wrong / whole, 4) if whole > 0 else float("nan")
