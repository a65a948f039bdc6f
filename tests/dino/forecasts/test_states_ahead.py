"""States carried ahead: exactly where the dynamics are linear, by an ensemble that converges to that elsewhere."""

import numpy as np
import pytest
import torch

from dino.dynamics import Dynamics, LatentODE
from dino.errors import NonFiniteError
from dino.forecasts import latent as states
from dino.inference.analysis import Analysis
from dino.model import LEADS, Start

LEADS_DAYS = np.array([0.0, 0.3, 4.0, 1.0, 4.0])
CLOSE = {"rtol": 1e-6, "atol": 1e-8}


class Unlike(Dynamics):
    """The same dynamics, of which nobody knows that they are linear."""

    is_linear = False

    def __init__(self, base: LatentODE) -> None:
        super().__init__()
        self.base, self.order, self.code_size, self.context_size = base, base.order, base.code_size, 0

    @property
    def rates(self):  # type: ignore[override]
        return self.base.rates

    def derivative(self, state, context=None):
        return self.base.derivative(state, context)


@pytest.fixture
def twin(make_twin):
    """With errors that grow with the lead, and factors of spreads that differ between starts, leads and parts."""
    twin = make_twin()
    latent = twin.latent
    steps = torch.arange(LEADS, dtype=torch.float64)
    latent.lead_error.copy_(0.1 * steps[:, None] * torch.arange(1.0, 7.0))
    latent.unresolved_error.copy_(0.01 * steps[:, None])
    latent.unresolved_variance.fill_(0.5)
    parts = torch.tensor([1.0, 2.0], dtype=torch.float64)
    for start in Start:
        latent.spread_factor[start] = (1.0 + start + 0.1 * steps)[:, None, None] * parts
    return twin


@pytest.fixture
def analysis(twin, randomly):
    root = randomly(12, 12)
    covariance = root @ root.T / 12 + 0.1 * torch.eye(12, dtype=torch.float64)
    return Analysis(twin.start, randomly(1, 12), covariance[None])


def flows(twin, days):
    """(time, state, state) matrix exponentials of the derivative's own matrix."""
    dynamics = twin.latent.dynamics
    matrix = torch.autograd.functional.jacobian(dynamics.derivative, torch.zeros(12, dtype=torch.float64))
    return torch.stack([torch.linalg.matrix_exp(matrix * float(day)) for day in days])


def ahead(twin, analysis, **options):
    return states.forecast_latent(twin.latent, twin.ocean, analysis, twin.start + LEADS_DAYS, **options)


def test_linear_dynamics_carry_mean_and_covariance_exactly(twin, analysis):
    made, flow = ahead(twin, analysis), flows(twin, LEADS_DAYS)
    torch.testing.assert_close(made.codes[:, 0], (flow @ analysis.mean[0])[:, :6], **CLOSE)
    expected = (flow @ analysis.covariance[0] @ flow.mT)[:, :6, :6]
    torch.testing.assert_close((made.factor @ made.factor.mT)[:, 0], expected, **CLOSE)
    bare = ahead(twin, analysis, spread=False)
    torch.testing.assert_close(bare.codes, made.codes)
    assert bare.factor.shape[-1] == 0


def test_an_ensemble_has_the_mean_exactly_and_the_covariance_in_the_limit(twin, analysis, monkeypatch):
    exact, errors = ahead(twin, analysis), []
    twin.latent.dynamics = Unlike(twin.latent.dynamics)
    target = exact.factor @ exact.factor.mT
    for members in (states.MEMBERS, 50 * states.MEMBERS):
        monkeypatch.setattr(states, "MEMBERS", members)
        made = ahead(twin, analysis)
        assert made.factor.shape[-1] == members
        torch.testing.assert_close(made.codes, exact.codes, rtol=1e-5, atol=1e-6)
        found = made.factor @ made.factor.mT
        errors.append(float((found - target).norm() / target.norm()))
    assert errors[0] < 0.5
    assert errors[1] < 0.2 * errors[0]


def test_members_are_the_same_for_a_chart_whatever_others_there_are(twin, analysis):
    twin.latent.dynamics = Unlike(twin.latent.dynamics)
    both = Analysis(
        analysis.time,
        torch.cat([analysis.mean, 2 * analysis.mean]),
        torch.cat([analysis.covariance, 3 * analysis.covariance]),
    )
    alone, together = ahead(twin, analysis), ahead(twin, both)
    torch.testing.assert_close(together.codes[:, :1], alone.codes)
    torch.testing.assert_close(together.factor[:, :1], alone.factor)


def test_errors_of_the_model_and_factors_are_those_of_the_lead_and_the_start(twin, analysis):
    made = ahead(twin, analysis)
    for row, lead in enumerate(LEADS_DAYS):
        torch.testing.assert_close(made.model_error[row], 0.1 * lead * torch.arange(1.0, 7.0).double())
        factor = (1.0 + Start.POINTS + 0.1 * lead) * torch.tensor([1.0, 2.0]).double()
        torch.testing.assert_close(made.calibration[row, 0], factor)
        # Points tell nothing of what the basis leaves out: it has all its variance at any lead.
        torch.testing.assert_close(made.unresolved[row], torch.tensor([0.5]).double())
        torch.testing.assert_close(made.calibrated_unresolved[row], 0.5 * factor[1:].square())


def test_a_forecast_that_leaves_the_numbers_is_refused(twin, analysis):
    twin.latent.dynamics = Unlike(twin.latent.dynamics)
    twin.latent.dynamics.base.linear.fill_(1e200)
    with pytest.raises(NonFiniteError):
        ahead(twin, analysis)
