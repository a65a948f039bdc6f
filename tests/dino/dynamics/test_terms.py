"""Terms as text: what is understood, and that everything else is refused with words."""

import pytest

from dino.dynamics.terms import Factor, Monomial, forcing, library, parse_terms
from dino.errors import ConfigError


def parsed(expression: str) -> tuple[Monomial, ...]:
    return parse_terms([f"u: {expression}"], ("u", "v"))[0].monomials


def test_expressions_become_sums_of_products():
    u, v = Factor("id", "u"), Factor("id", "v")
    assert parsed("u") == (Monomial(factors=(u,)),)
    assert parsed("-2*u*v**2") == (Monomial(-2.0, factors=(u, v, v)),)
    assert parsed("u - (v + 3)") == (Monomial(factors=(u,)), Monomial(-1.0, factors=(v,)), Monomial(-3.0))
    assert parsed("2*dx(3*u*v)*t**2") == (Monomial(6.0, "dx", (u, v), 2),)
    assert parsed("lap(u)") == (Monomial(factors=(Factor("lap", "u"),)),)
    assert parsed("cos(2, -1)") == (Monomial(factors=(Factor("cos", harmonic=(2, -1)),)),)
    assert parsed("spline(v, 3, 12, -0.5, 2)") == (Monomial(factors=(Factor("spline", "v", (), (3, 12, -0.5, 2)),)),)


@pytest.mark.parametrize(
    ("expression", "linear"),
    [
        ("dxx(u)", True),
        ("dx(u) + 2*v", True),
        ("u*v", False),
        ("t*u", False),
        ("1", False),
        ("spline(u,0,8,0,1)", False),
    ],
)
def test_only_operators_of_one_channel_are_linear(expression, linear):
    assert parse_terms([f"u: {expression}"], ("u", "v"))[0].is_linear == linear


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("q: u", "with a channel of u, v"),
        ("u", "wants the form"),
        ("u: w", "no channel of u, v"),
        ("u: u +", "invalid syntax"),
        ("u: u/2", "no channel"),
        ("u: u**-1", "no channel"),
        ("u: True*u", "no channel"),
        ("u: 1e999*u", "no channel"),
        ("u: dz(u)", "no channel"),
        ("u: exp(u)", "no channel"),
        ("u: __import__('os')", "no channel"),
        ("u: lap(lap(u))", "stands around another operator"),
        ("u: dx(u*v)*u", "cannot be multiplied again"),
        ("u: lap(1)*u", "of a constant is nothing"),
        ("u: dx(2*t)*u", "of a constant is nothing"),
        ("u: cos()", "no channel"),
        ("u: cos(1, 2, 3)", "no channel"),
        ("u: sin(u)", "a number was wanted"),
        ("u: cos(1.5)", "whole numbers"),
        ("u: spline(u, 1, 3, 0, 1)", "at least 4"),
        ("u: spline(u, 8, 8, 0, 1)", "spline 8 of 8"),
        ("u: spline(u, 1, 8, 1, 0)", "no width"),
    ],
)
def test_what_is_not_understood_is_refused(text, why):
    with pytest.raises(ConfigError, match=why) as error:
        parse_terms([text], ("u", "v"))
    assert repr(text) in str(error.value)


@pytest.mark.parametrize("name", ["t", "sea level", "lambda", "2u"])
def test_channels_that_cannot_stand_in_a_term_are_refused(name):
    with pytest.raises(ConfigError, match="rename it"):
        parse_terms([], (name,))


def test_the_library_is_understood_and_has_no_term_twice():
    for dimensions in (0, 1, 2):
        texts = library(("u", "v"), dimensions, degree=3)
        terms = parse_terms(texts, ("u", "v"))
        assert len({(term.target, term.monomials) for term in terms}) == len(texts)
    assert library(("u",), 1, order=1, degree=1) == ["u: 1", "u: u", "u: dx(u)"]
    assert library(("u",), 2, order=2) == ["u: 1", "u: u", "u: lap(u)", "u: u*u"]


def test_a_forcing_has_every_wave_once():
    assert forcing(("u",), 1, 1, 1) == ["u: cos(1)", "u: cos(1)*t**1", "u: sin(1)", "u: sin(1)*t**1"]
    # Of 5 x 5 indices all but the constant, in pairs of opposite waves; each as cosine and sine.
    assert len(forcing(("u",), 2, 2, 0)) == 24
