"""Moorings under SWOT: spikes, means of sites, and what all sites share."""

import moorings_record
import numpy as np
import pandas as pd
import pytest

SITES, PASSES = ("S1", "S2", "P1", "S3", "ru32"), 40
UNTIL = 30


@pytest.fixture
def file(tmp_path):
    """A plane that moves, an offset a site, one spike, and a mooring that comes late."""
    rows = []
    for number in range(PASSES):
        for site, name in enumerate(SITES):
            if name == "P1" and number < 25:
                continue
            height = (site - 1.5) * np.sin(number / 4) + 7 * np.cos(number)
            steric = 50 + 3 * site + height + (40 if (name, number) == ("S2", 10) else 0)
            columns = {"lon": -125.0, "lat": 36.0 - 0.2 * site, "ssha_karin": height + 0.5 * site, "steric": steric}
            far = 400.0 if (name, number) == ("S3", 12) else 20.0
            rows.append(
                columns | {"time_karin": 43_000.0 * number, "mooring_id": name}
                | {"time_delta_left": -20.0, "time_delta_right": far}
            )  # fmt: skip
    path = tmp_path / "moorings.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def until() -> float:
    days = (moorings_record.EPOCH - np.datetime64("1950-01-01", "ns")) / np.timedelta64(1, "D")
    return float(days) + 43_000.0 / 86_400 * (UNTIL - 0.5)


def test_gliders_spikes_and_far_profiles_are_left_out(file):
    made = moorings_record.read(file, until())
    assert made.names == ("P1", "S1", "S2", "S3")
    assert made.spikes == {"far_from_a_profile": 1, "spikes": 1, "values": 134}
    assert np.isnan(made.steric[10, 2])
    assert np.isnan(made.steric[12, 3])
    assert np.isfinite(made.karin[:, 1:]).all()


def test_offsets_and_what_all_sites_share_are_gone_and_a_late_site_has_the_mean_of_the_whole_part(file):
    made = moorings_record.question(moorings_record.read(file, until()), until())
    both = np.isfinite(made.truth + made.karin)
    # The two differ by offsets alone, so that nothing is left of the difference but where a value was screened.
    whole = both.all(1)
    np.testing.assert_allclose(made.truth[whole], made.karin[whole], atol=0.1)
    np.testing.assert_allclose(np.nanmean(made.karin, axis=1), 0.0, atol=1e-9)
    # The plane at the late site is half way between its neighbours.
    late = np.isfinite(made.karin[:, 0])
    np.testing.assert_allclose(made.karin[late, 0], 0.5 * (made.karin[late, 2] + made.karin[late, 3]), atol=1e-6)


def test_of_a_hidden_site_nothing_enters_what_is_seen(file):
    moorings = moorings_record.read(file, until())
    made = moorings_record.question(moorings, until(), hidden=3)
    assert made.asked == [3]
    assert np.isnan(made.seen[:, 3]).all()
    np.testing.assert_allclose(np.nanmean(made.seen[:, :3], axis=1), 0.0, atol=1e-9)
    changed = moorings_record.Moorings(**{**vars(moorings), "karin": moorings.karin.copy()})
    later = ~moorings.before(until())
    changed.karin[later, 3] += 9.0
    np.testing.assert_array_equal(moorings_record.question(changed, until(), hidden=3).seen, made.seen)
