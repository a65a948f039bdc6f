"""The tutorial of docs/many-physics.md runs as it stands there, and prints what the page says."""

import re
from pathlib import Path

import numpy as np
import pytest

import dino

PAGE = (Path(__file__).parents[2] / "docs" / "many-physics.md").read_text(encoding="utf-8")
TUTORIAL = PAGE.split("## From your array to a forecast")[1].split("\n## ")[0]
TRUTH = {"u: dx(u)": -0.7, "u: dxx(u)": 0.3, "u: dx(u*u)": -0.5}
SLACK = 2e-4  # two of the last digits shown, by which other machines may round otherwise


def block(kind: str) -> str:
    """The first code block of a kind."""
    return TUTORIAL.split(f"```{kind}\n")[1].split("```")[0]


@pytest.fixture(scope="module")
def ran():
    """The names that the tutorial leaves, and what it printed."""
    lines: list[str] = []
    names = {"print": lambda *words: lines.append(" ".join(map(str, words)))}
    exec(compile(block("python"), "docs/many-physics.md", "exec"), names)
    return names, lines


def test_the_tutorial_finds_the_equation(ran):
    names, _ = ran
    found = names["found"]
    mean, std = (found[name].to_series() for name in ("mean", "std"))
    for term in names["physics"].terms:
        assert abs(mean[term] - TRUTH.get(term, 0.0)) < 4 * std[term], term
        assert std[term] < 0.01, term
    assert names["adapted"].known.all()


def test_the_tutorial_forecasts_what_the_closed_form_has(ran):
    names, _ = ran
    truth = names["burgers"](0.3, 0.7, names["later"], seed=99)
    error = np.sqrt(np.mean((names["forecast"]["u"].values[0] - truth) ** 2))
    assert error < 1e-2 * truth.std()
    assert names["forecast"]["trusted"].all()


def test_the_page_shows_what_is_printed(ran):
    _, lines = ran
    shown = block("text").splitlines()
    number = re.compile(r"-?\d+\.\d+")
    assert [number.sub("#", line) for line in shown] == [number.sub("#", line) for line in lines]
    for one, other in zip(shown, lines, strict=True):
        expected, came = ([float(found) for found in number.findall(line)] for line in (one, other))
        np.testing.assert_allclose(came, expected, atol=1.001 * SLACK, rtol=0)


def test_what_the_tutorial_learned_is_saved_and_loaded(ran, tmp_path):
    names, _ = ran
    names["physics"].save(tmp_path / "burgers")
    again = dino.load_physics(tmp_path / "burgers").adapt(names["new"]).coefficients()
    np.testing.assert_allclose(again["mean"], names["adapted"].coefficients()["mean"], atol=1e-6)


def test_terms_of_the_table_are_understood():
    from dino.dynamics.terms import parse_terms

    rows = PAGE.split("## Terms")[1].split("\n## ")[0].splitlines()
    terms = [text for row in rows if row.startswith("| `") for text in re.findall(r"`(\w: [^`]+)`", row.split("|")[1])]
    assert len(terms) > 8
    assert len(parse_terms(terms, "uvwsa")) == len(terms)


def test_the_page_has_every_setting():
    settings = PAGE.split("## Settings")[1].split("\n## ")[0]
    assert all(f"`{name}`" in settings for name in dino.PhysicsConfig.model_fields)
