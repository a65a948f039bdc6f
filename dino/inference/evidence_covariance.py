"""The covariance that observed values have by the population, its time scales and the errors: what is fitted."""

import torch
from torch import Tensor

from ..config import ErrorsConfig, SourceErrors
from ..data.overflights import View
from ..model import LatentModel
from ..numerics.groups import Batch
from ..space.decoders import Decoder, TrendDecoder
from ..space.decoders.trend import DEGREE
from .errors import ENDLESS_KM, Errors
from .evidence_record import Record

GROUPS = 4  # of modes, from large to small scales, that share a time scale
TREND = [0.3, 0.15, 0.05]  # first guess of constant, slopes and curvatures over the field, standard deviations
STDS = ("along", "offset", "roll", "phase", "baseline", "timing")
_ERRORS = ("white", "along", "offset", "shapes", "length")


class Covariance:
    """What the evidence is a function of: logarithms of factors and sizes, with Gaussian priors about where they begin.

    size : factor of the population's variance; days : (group,) time scales; unresolved : factor of its variance
    trend : (degree,) variances of polynomials and trend_days their time scale, where the decoder has them
    white, along, offset, shapes : (view,) factors of standard deviations of errors; length : (view,) of `along_km`
    """

    def __init__(self, latent: LatentModel, decoder: Decoder) -> None:
        self.decoder = decoder
        trend = isinstance(decoder, TrendDecoder)
        self.learned = decoder.base.code_size if isinstance(decoder, TrendDecoder) else decoder.code_size
        self.variance = latent.code_variance.double()[: self.learned]
        self.unresolved = latent.unresolved_variance.double()
        zero = torch.zeros(len(View), dtype=torch.float64)
        power = self._field_variance()
        begin = {
            "size": torch.zeros(1, dtype=torch.float64),
            "days": torch.full((GROUPS,), 30.0, dtype=torch.float64).log(),
            "unresolved": torch.zeros(1, dtype=torch.float64),
            **{name: zero.clone() for name in ("white", "along", "offset", "shapes", "length")},
        }
        if trend:
            # In the charts' units: modest beside the field. What is larger than a tile shows soon where it is.
            begin["trend"] = power + 2 * torch.tensor(TREND, dtype=torch.float64).log()
            begin["trend_days"] = torch.full((1,), 60.0, dtype=torch.float64).log()
        self.origin = {name: value.clone() for name, value in begin.items()}
        self.spread = {"size": 2.0, "unresolved": 2.0, "trend": 1.5, "white": 0.75, "along": 0.75, "offset": 0.75}
        self.parameters = {name: value.requires_grad_(True) for name, value in begin.items()}

    def _field_variance(self) -> Tensor:
        """Logarithm of the mean variance of the field that the modes make on a tile."""
        axis = torch.linspace(-0.9, 0.9, 8, dtype=torch.float64)
        points = torch.cartesian_prod(*[axis] * self.decoder.input_size)[:512]
        with torch.no_grad():
            modes = self.decoder.basis(points).modes[..., : self.learned]  # type: ignore[attr-defined]
        return (modes.square() @ self.variance).mean().log()

    def prior(self) -> Tensor:
        """Minus the logarithm of the prior density, but for a constant."""
        parts = [
            ((value - self.origin[name]) / self.spread.get(name, 1.0)).square().sum()
            for name, value in self.parameters.items()
        ]
        return 0.5 * torch.stack(parts).sum()

    def population(self) -> Tensor:
        """(code,) variances of the codes."""
        learned = self.variance * self.parameters["size"].exp()
        if "trend" not in self.parameters:
            return learned
        return torch.cat([learned, self.parameters["trend"].exp()[self._degree()]])

    def time_scales(self) -> Tensor:
        """(code,) days in which codes relax."""
        sizes = [len(part) for part in torch.arange(self.learned).tensor_split(GROUPS)]
        learned = torch.repeat_interleave(self.parameters["days"].exp(), torch.tensor(sizes))
        if "trend" not in self.parameters:
            return learned
        return torch.cat([learned, self.parameters["trend_days"].exp().expand(len(self._degree()))])

    def _degree(self) -> Tensor:
        return torch.tensor(DEGREE * self.decoder.channels)

    def errors(self, record: Record, which: Tensor) -> Errors:
        """The errors of some rows: as configured, by their factors where no store has told them."""
        made, view, here = record.errors.select(which), record.view[which], record.open[which]

        def factor(name: str) -> Tensor:
            return torch.where(here, self.parameters[name].exp()[view], 1.0)

        # Constants of an overflight have no end to their length; components that nothing has are not there.
        endless = made.length_km[..., 1:] >= ENDLESS_KM
        others = torch.where(endless, factor("offset").unsqueeze(-1), factor("shapes").unsqueeze(-1))
        std = made.factor * torch.cat([factor("along").unsqueeze(-1), others], dim=-1)
        length = made.length_km.clone()
        length[..., 0] = made.length_km[..., 0] * factor("length")
        unresolved = (self.unresolved * self.parameters["unresolved"].exp())[record.rows.channel[which]]
        return Errors(made.white * factor("white").square() + unresolved, std, length, made.along_km, made.across_km)

    def of_rows(self, record: Record, batch: Batch, modes: Tensor) -> Tensor:
        """(chart, row, row) covariance C of the values of charts; padding is apart, with variance one.

        modes : (chart, row, code)
        """
        days, number = record.days[batch.row], record.overflight[batch.row]
        lag = (days.unsqueeze(-1) - days.unsqueeze(-2)).abs()
        population, scales = self.population(), self.time_scales()
        channel = record.rows.channel[batch.row]
        # As in the whitening: channels of one instrument err for themselves.
        same = number.unsqueeze(-1) == number.unsqueeze(-2)
        same &= channel.unsqueeze(-1) == channel.unsqueeze(-2)
        total = torch.where(same, self.errors(record, batch.row).covariance(), 0.0)
        for first, last in self._groups():
            part = modes[..., first:last]
            total = total + ((part * population[first:last]) @ part.mT) * torch.exp(-lag / scales[first])
        apart = batch.known.unsqueeze(-1) & batch.known.unsqueeze(-2)
        return torch.where(apart, total, torch.eye(total.shape[-1], dtype=total.dtype))

    def _groups(self) -> list[tuple[int, int]]:
        edges = [part[0].item() for part in torch.arange(self.learned).tensor_split(GROUPS) if len(part)]
        ends = [*edges[1:], self.learned]
        found = [(int(a), int(b)) for a, b in zip(edges, ends, strict=True)]
        whole = len(self.population())
        return found + ([(self.learned, whole)] if whole > self.learned else [])


def fitted_errors(config: ErrorsConfig, covariance: Covariance) -> ErrorsConfig:
    """The configured errors with the factors that were fitted."""
    made: dict[str, SourceErrors] = {}
    for view in View:
        before: SourceErrors = getattr(config, view.name.lower())
        factor = {name: float(covariance.parameters[name][view].detach().exp()) for name in _ERRORS}
        changed = {"white": before.white * factor["white"], "along_km": before.along_km * factor["length"]}
        for name in STDS:
            changed[name] = getattr(before, name) * factor[name if name in factor else "shapes"]
        made[view.name.lower()] = before.model_copy(update={k: float(f"{v:.4g}") for k, v in changed.items()})
    return ErrorsConfig(**made)
