"""The evidence of sparse observations: their likelihood with the codes integrated out.

Codes of a population S that relax at time scales T (`RelaxingODE`) and errors of overflights R make the values of a
chart Gaussian, with covariance

    C = sum over groups g of modes  Phi_g S_g Phi_g' exp(-|t - t'| / T_g)  +  R,

dense over the points of a window. Its log-density is a smooth function of everything in it: of the weights of the
decoder through which codes enter, of population, time scales and errors (Rasmussen & Williams 2006, chapter 5).
Beside the joint density there is that of every overflight given all the others (the same, 5.4.2): which asks what is
wanted, how well an overflight is predicted that was not there, and is not misled by what neighbours on one track tell
of each other when the covariance is not quite right.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config import ErrorsConfig, SourceErrors
from ..data.observations import Observations
from ..data.overflights import View, overflights
from ..model import LatentModel, Ocean
from ..numerics.gaussian import cholesky
from ..numerics.groups import Batch, batches
from ..space.decoders import Decoder, TrendDecoder
from ..space.decoders.trend import DEGREE
from .errors import ENDLESS_KM, Errors, pieces
from .observed import ObservedValues, observed_values

GROUPS = 4  # of modes, from large to small scales, that share a time scale
TREND = [0.3, 0.15, 0.05]  # first guess of constant, slopes and curvatures over the field, standard deviations
MOST_ROWS = 400  # of a chart in a window; of more, a random part
GROSS = 5.0  # standard deviations from what its neighbours say: no density that is wanted has such values
NEIGHBOURS = 64  # rows of an overflight that are compared with each other
STDS = ("along", "offset", "roll", "phase", "baseline", "timing")


@dataclass(frozen=True)
class Record:
    """Observed values of charts in windows, taken as independent of each other.

    rows : with errors as configured, unresolved variance not in them; key : (row,) number of window and chart
    days : (row,) time; overflight, view : (row,); open : (row,) whose error no store has told
    once : what a chart's density counts for, since overlapping charts see a value several times
    """

    rows: ObservedValues
    errors: Errors
    key: Tensor
    days: Tensor
    overflight: Tensor
    view: Tensor
    open: Tensor
    once: float = 1.0

    def select(self, which: Tensor) -> "Record":
        """The record of some rows, by a mask or indices."""
        chosen: dict[str, Any] = {name: vars(self)[name][which] for name in _REST}
        return Record(rows=self.rows.select(which), errors=self.errors.select(which), once=self.once, **chosen)

    def batches(self, most: int) -> Iterator[Batch]:
        """All rows, charts of about the same size side by side."""
        return batches(self.key, most)


def record_of(
    latent: LatentModel,
    ocean: Ocean,
    windows: Sequence[Observations],
    errors: ErrorsConfig,
    seed: int = 0,
    most: int = MOST_ROWS,
) -> Record:
    """The observed values of some windows in the charts of an ocean, in double precision."""
    chance, parts, values, seen_by = np.random.default_rng(seed), [], 0, 0
    for number, seen in enumerate(windows):
        nodes = np.array([seen.time[0], seen.time[-1] + 1e-6])
        rows = observed_values(latent, ocean, seen, nodes, errors)
        values, seen_by = values + len(torch.unique(rows.observation)), seen_by + len(rows)
        chosen = _thinned(rows.chart.cpu().numpy(), chance, most)
        rows = rows.select(torch.as_tensor(chosen, device=rows.chart.device))
        passed, which = overflights(seen), rows.observation.cpu().numpy()
        told = torch.as_tensor(np.isfinite(seen.error))[torch.as_tensor(which), rows.channel.cpu()]
        days = nodes[0] + (rows.node + rows.fraction).double().cpu().numpy() * (nodes[1] - nodes[0])
        assert rows.errors is not None
        unresolved = latent.unresolved_variance.double()[rows.channel]
        parts.append(
            Record(
                rows=replace(rows, errors=None, piece=None),
                errors=replace(rows.errors, white=rows.errors.white - unresolved),
                key=number * ocean.charts + rows.chart,
                days=torch.as_tensor(days),
                overflight=torch.as_tensor(passed.number[which]),
                view=torch.as_tensor(passed.view[which]),
                open=~told,
            )
        )
    return replace(_joined(parts), once=values / max(seen_by, 1))


def _thinned(chart: np.ndarray, chance: np.random.Generator, most: int) -> np.ndarray:
    """Indices of at most `most` rows of every chart, at random."""
    order = np.lexsort((chance.random(len(chart)), chart))
    _, first, count = np.unique(chart[order], return_index=True, return_counts=True)
    rank = np.arange(len(chart)) - np.repeat(first, count)
    return np.sort(order[rank < most])


def _joined(parts: list[Record]) -> Record:
    columns = [[vars(part.rows)[name] for part in parts] for name in _COLUMNS]
    columns_of: dict[str, Any] = {name: torch.cat(column) for name, column in zip(_COLUMNS, columns, strict=True)}
    rows = ObservedValues(**columns_of)
    width = max(part.errors.factor.shape[-1] for part in parts)
    # Windows without swaths have fewer components.
    padded = [torch.nn.functional.pad(part.errors.factor, (0, width - part.errors.factor.shape[-1])) for part in parts]
    length = [
        torch.nn.functional.pad(part.errors.length_km, (0, width - part.errors.length_km.shape[-1]), value=1.0)
        for part in parts
    ]
    errors = Errors(
        torch.cat([part.errors.white for part in parts]), torch.cat(padded), torch.cat(length),
        torch.cat([part.errors.along_km for part in parts]), torch.cat([part.errors.across_km for part in parts]),
    )  # fmt: skip
    others: dict[str, Any] = {name: torch.cat([vars(part)[name] for part in parts]) for name in _REST}
    return Record(rows=rows, errors=errors, **others)


_COLUMNS = ("chart", "channel", "coordinates", "value", "variance", "node", "fraction", "observation")
_REST = ("key", "days", "overflight", "view", "open")


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


def forms(decoder: Decoder, record: Record, which: Tensor) -> tuple[Tensor, Tensor]:
    """Modes (..., code) and offset (...) of some rows."""
    basis = decoder.basis(record.rows.coordinates[which].double())  # type: ignore[attr-defined]
    channel = record.rows.channel[which]
    modes = basis.modes.gather(-2, channel[..., None, None].expand(*channel.shape, 1, basis.modes.shape[-1]))
    return modes.squeeze(-2), basis.offset.gather(-1, channel.unsqueeze(-1)).squeeze(-1)


def log_evidence(covariance: Covariance, record: Record, batch: Batch) -> Tensor:
    """(chart,) logarithm of the density of all values of charts, with gradients to everything."""
    factor, missed = _factorised(covariance, record, batch)
    white = torch.linalg.solve_triangular(factor, missed.unsqueeze(-1), upper=False).squeeze(-1)
    count = batch.known.sum(-1)
    half = 0.5 * white.square().sum(-1) + factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return -half - 0.5 * np.log(2 * np.pi) * count


def log_overflights(covariance: Covariance, record: Record, batch: Batch) -> Tensor:
    """(chart,) sum of the logarithms of the densities of all values, each given all other overflights' values.

    With K the inverse of C and B its block of an overflight, its values have the mean y - B^-1 (K y) and covariance
    B^-1 given the others. All blocks are factorised as one matrix.
    """
    factor, missed = _factorised(covariance, record, batch)
    inverse = torch.cholesky_inverse(factor)
    number = record.overflight[batch.row]
    same = (number.unsqueeze(-1) == number.unsqueeze(-2)) & batch.known.unsqueeze(-1) & batch.known.unsqueeze(-2)
    identity = torch.eye(inverse.shape[-1], dtype=inverse.dtype)
    blocks = cholesky(torch.where(same, inverse, torch.where(batch.known.unsqueeze(-1), 0.0, identity)))
    left = torch.cholesky_solve(inverse @ missed.unsqueeze(-1), blocks).squeeze(-1)
    variance = torch.cholesky_inverse(blocks).diagonal(dim1=-2, dim2=-1)
    density = -0.5 * (left.square() / variance + variance.log() + np.log(2 * np.pi))
    return (density * batch.known).sum(-1)


@torch.no_grad()
def without_gross(covariance: Covariance, record: Record, bound: float = GROSS) -> Record:
    """The record without gross errors: values `bound` standard deviations from what others of their overflight say.

    A Gaussian density answers one spike with errors that are larger everywhere. Before a fit the standard deviations
    are guesses, which may be far too small: they are scaled by the median of what values are off, where that is larger.
    The worst value of a piece goes first, since it makes its neighbours look wrong.
    """
    group = torch.stack([record.key, record.overflight, record.rows.channel], dim=-1).unique(dim=0, return_inverse=True)
    found = [_Piece.of(covariance, record, batch) for batch in batches(pieces(group[1], NEIGHBOURS), 2**14)]
    off = torch.cat([piece.off()[piece.known] for piece in found])
    limit = bound * max(1.0, float(off.median()) / 0.6745)  # the median of what is Gaussian
    kept = torch.ones(len(record.rows), dtype=torch.bool)
    for piece in found:
        for _ in range(NEIGHBOURS):
            worst = piece.off().max(-1)
            wrong = torch.nonzero(worst.values > limit).squeeze(-1)
            if not len(wrong):
                break
            piece.known[wrong, worst.indices[wrong]] = False
            kept[piece.row[wrong, worst.indices[wrong]]] = False
    return record if bool(kept.all()) else record.select(kept)


@dataclass
class _Piece:
    """Rows (piece, row) of overflights, what they miss and its covariance; known : which of them are still believed."""

    row: Tensor
    known: Tensor
    missed: Tensor
    total: Tensor

    @classmethod
    def of(cls, covariance: Covariance, record: Record, batch: Batch) -> "_Piece":
        modes, offset = forms(covariance.decoder, record, batch.row)
        missed = record.rows.value[batch.row].double() - offset
        return cls(batch.row, batch.known.clone(), missed, covariance.of_rows(record, batch, modes))

    def off(self) -> Tensor:
        """(piece, row) standard deviations that a value is from its mean given the others; zero where not believed."""
        apart = self.known.unsqueeze(-1) & self.known.unsqueeze(-2)
        identity = torch.eye(apart.shape[-1], dtype=self.total.dtype)
        inverse = torch.cholesky_inverse(cholesky(torch.where(apart, self.total, identity)))
        missed = (self.missed * self.known).unsqueeze(-1)
        return (inverse @ missed).squeeze(-1).abs() / inverse.diagonal(dim1=-2, dim2=-1).sqrt() * self.known


def _factorised(covariance: Covariance, record: Record, batch: Batch) -> tuple[Tensor, Tensor]:
    """Cholesky factors (chart, row, row) of C, and values (chart, row) less their mean."""
    modes, offset = forms(covariance.decoder, record, batch.row)
    missed = torch.where(batch.known, record.rows.value[batch.row].double() - offset, 0.0)
    return cholesky(covariance.of_rows(record, batch, modes)), missed


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


_ERRORS = ("white", "along", "offset", "shapes", "length")
