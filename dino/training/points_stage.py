"""The evidence as a stage of training: all weights of the decoder, population, time scales and errors, by descent.

A step draws windows of the record and charts in them, and takes the density of their values with the codes integrated
out (`inference.evidence`): of every overflight given the others or, where nothing flies, of all values together. What
is in memory is a window. The last days are held out, and the weights are kept that make them most probable.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from ..config import ErrorsConfig
from ..data.observations import Observations
from ..data.overflights import View
from ..errors import EmptyDataError
from ..inference.evidence import log_evidence, log_overflights, without_gross
from ..inference.evidence_covariance import Covariance
from ..inference.evidence_record import Record, record_of
from ..model import LatentModel, Ocean
from ..numerics.groups import Batch, batches
from ..numerics.parallel import ALONE, Group

RATE, WEIGHTS_RATE = 0.08, 1e-3  # of Adam: logarithms of numbers, and the decoder's weights
TERMS, MOST_WINDOWS = 8, 4  # charts in a step, in as many windows at most
HELD_WINDOWS, HELD_CHARTS = 6, 24  # of the validation
FEWEST_PASSAGES = 4  # of a window, whose densities given each other tell a covariance
PLACES = 2**13  # rows of charts side by side
TRIES = 64  # windows that are drawn until one holds values
WARMING = 0.3  # share of the steps in which numbers settle before the decoder's weights move

Window = Callable[[float, float], Observations | None]


class Evident(nn.Module):
    """A relaxing model in double precision with what its evidence is a function of, as one state to be saved."""

    def __init__(self, latent: LatentModel) -> None:
        super().__init__()
        self.latent = latent
        self.covariance = Covariance(latent, latent.decoder)
        # Everything that a resumed run has to find again, where the covariance reads it.
        for name in ("variance", "unresolved"):
            self.register_buffer(f"begun_{name}", getattr(self.covariance, name).clone())
            setattr(self.covariance, name, getattr(self, f"begun_{name}"))
        for name, value in self.covariance.parameters.items():
            number = nn.Parameter(value.detach().clone())
            self.register_parameter(f"log_{name}", number)
            self.covariance.parameters[name] = number
            self.register_buffer(f"origin_{name}", self.covariance.origin[name])
            self.covariance.origin[name] = getattr(self, f"origin_{name}")

    @property
    def weights(self) -> list[nn.Parameter]:
        """All weights of the decoder."""
        return list(self.latent.decoder.parameters())


class EvidenceStage:
    """Adam on the evidence of random windows and charts; see `Stage`.

    window : the points of a period; first, held, last : days at which the record begins, its held-out part begins, and
    it ends; values : how many the record has, beside which the prior is weighed
    Processes that train together share out the charts of a step.
    """

    name = "evidence"

    def __init__(
        self,
        model: Evident,
        ocean: Ocean,
        window: Window,
        errors: ErrorsConfig,
        span: tuple[float, float, float],
        days: float,
        values: int,
        steps: int,
        generator: torch.Generator,
        group: Group = ALONE,
    ) -> None:
        self.model, self.ocean, self.window, self.errors = model, ocean, window, errors
        self.first, self.held, self.last = span
        self.days, self.values, self.generator, self.group = days, values, generator, group
        self.steps, self.check_every = steps, max(1, steps // 10)
        numbers = list(model.covariance.parameters.values())
        self.optimiser = torch.optim.Adam(
            [{"params": numbers, "lr": RATE}, {"params": model.weights, "lr": WEIGHTS_RATE}], betas=(0.9, 0.98)
        )
        falling = lambda step: min(1.0, 2 * (1 - step / steps))  # noqa: E731
        still = lambda step: falling(step) * min(1.0, max(0.0, step / steps / WARMING - 1.0))  # noqa: E731
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, [falling, still])
        self._held = list(self._held_out())
        if not self._held:
            raise EmptyDataError(
                "the last days of the record, which validation wants, hold no value in the model's charts; lengthen "
                "data.validation_days or the record"
            )

    def step(self, index: int) -> Tensor:
        """One step; returns minus the logarithm of the density of a value."""
        charts = self.ocean.charts
        windows = min(MOST_WINDOWS, -(-TERMS // charts))
        records = [self._drawn(max(1, TERMS // windows)) for _ in range(windows)]
        count = sum(len(record.rows) for record in records)
        self.optimiser.zero_grad(set_to_none=True)
        share = 1.0 / max(self.values, 1) / self.group.size
        loss = share * self.model.covariance.prior()
        # Of every weight a gradient in every process, that they can be added up.
        loss = loss + 0.0 * torch.stack([weight.sum() for weight in self.model.weights]).sum()
        for record in records:
            loss = loss - density(self.model.covariance, record, self.group) / count
        loss.backward()
        told = loss.detach()
        every = [p for part in self.optimiser.param_groups for p in part["params"]]
        self.group.sum_gradients_(every, told)
        torch.nn.utils.clip_grad_norm_(every, 1.0)
        self.optimiser.step()
        self.schedule.step()
        return told

    @torch.no_grad()
    def validate(self) -> float:
        """Minus the logarithm of the density of a held-out value, given those before and beside it."""
        since = self.held if self.held < self.last else self.first
        total = sum(float(density(self.model.covariance, record, since=since)) for record in self._held)
        return -total / sum(record.once * int((record.days >= since).sum()) for record in self._held)

    def _drawn(self, charts: int) -> Record:
        """The values of some charts in a random window of the training days."""
        for _ in range(TRIES):
            share = float(torch.rand((), generator=self.generator, dtype=torch.float64))
            which = torch.randperm(self.ocean.charts, generator=self.generator)[:charts].sort().values
            end = self.first + min(self.days, self.held - self.first)
            end += share * max(self.held - end, 0.0)
            record = self._record(end, which.tolist(), int(1e9 * share))
            if record is not None:
                return without_gross(self.model.covariance, record)
        raise EmptyDataError(
            f"in {TRIES} windows of {self.days:g} days no value lies in the charts that were drawn; check the domain, "
            "or lengthen assimilation.window_days"
        )

    def _held_out(self) -> Iterator[Record]:
        """Windows at the end of the record, always the same; a record without held-out days is judged by itself.

        With gross errors, if there are any: what is one must not depend on how far training has come.
        """
        start = self.held if self.held < self.last else self.first + min(self.days, 0.5 * (self.last - self.first))
        which = np.unique(np.linspace(0, self.ocean.charts - 1, HELD_CHARTS).astype(int)).tolist()
        ends = np.unique(np.linspace(start, self.last, HELD_WINDOWS + 1)[1:])
        for number, end in enumerate(ends if len(ends) else [self.last]):
            record = self._record(float(end), which, number)
            if record is not None and (self.held == self.last or bool((record.days >= self.held).any())):
                yield record

    def _record(self, end: float, which: list[int], seed: int) -> Record | None:
        """What some charts hold of a window; None where it is less than two values."""
        seen = self.window(end - self.days, end)
        if seen is None or len(seen) < 2:
            return None
        part = Ocean(self.ocean.channels, self.ocean.cover.select(which), self.ocean.background)
        inside = part.cover.holds(seen.longitude, seen.latitude)
        if inside.sum() < 2:
            return None
        record = record_of(self.model.latent, part, [seen.select(inside)], self.errors, seed)
        return record if len(record.rows) > 1 else None


def density(covariance: Covariance, record: Record, group: Group = ALONE, since: float = -np.inf) -> Tensor:
    """() logarithm of the density of a record's values, each counted once where charts overlap.

    Of every overflight given all others where most values are of several that fly; of all values together where they
    are scenes, maps or moorings, whose errors are independent, or so few passages that nothing is given. Of processes
    that train together each adds up its share of the charts.
    since : only values from that day on are counted, given the earlier ones
    """
    flies = (
        bool((record.view != View.POINT).double().mean() > 0.5) and len(record.overflight.unique()) >= FEWEST_PASSAGES
    )
    late = record.days >= since
    total = record.rows.value.new_zeros((), dtype=torch.float64)
    for number, batch in enumerate(record.batches(PLACES)):
        if number % group.size == group.rank:
            part = (
                log_overflights(covariance, record, batch, late) if flies else log_evidence(covariance, record, batch)
            )
            total = total + part.sum()
    if not flies and not bool(late.all()):
        total = total - sum(log_evidence(covariance, record, b).sum() for b in _of(record, ~late))
    return record.once * total


def _of(record: Record, which: Tensor) -> Iterator[Batch]:
    """The rows of a record that a mask (row,) chooses, charts of about the same size side by side."""
    rows = torch.nonzero(which).squeeze(-1)
    for batch in batches(record.key[rows], PLACES):
        yield Batch(batch.group, rows[batch.row], batch.known)
