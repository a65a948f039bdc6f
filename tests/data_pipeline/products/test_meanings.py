"""What a flag says of its values: words, numbers, bits, and what is said in a long name."""

import dask.array
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.products.meanings import BAD, GOOD, NEITHER, meanings_of, verdict


@pytest.mark.parametrize(
    ("meaning", "wanted"),
    [
        *(
            (word, GOOD)
            for word in (
                *(
                    "good",
                    "GOOD",
                    "nominal",
                    "valid",
                    "ok",
                    "open_ocean",
                    "ocean_like",
                    "probably_good_data",
                    "coastal_ocean",
                ),
                *("no_rain", "no_sea_ice", "ice_free", "best_quality", "high_probability_of_no_rain", "not_suspect"),
            )
        ),
        *(
            (word, BAD)
            for word in (
                *(
                    "bad",
                    "land",
                    "sea_ice",
                    "continental_ice_snow",
                    "rain",
                    "suspect",
                    "invalid",
                    "not_valid",
                    "non_ocean",
                ),
                *(
                    "probably_bad_data",
                    "lake_enclosed_sea",
                    "worst_quality",
                    "floating_ice",
                    "missing_value",
                    "degraded",
                ),
            )
        ),
        *(
            (word, NEITHER)
            for word in ("SideA", "no_qc_performed", "near_coast", "ascending", "interpolated_value", "")
        ),
    ],
)
def test_words(meaning, wanted):
    assert verdict(meaning) == wanted


VALUES = np.array([0.0, 1.0, 2.0, 3.0, np.nan])


@pytest.mark.parametrize(
    ("attrs", "bad"),
    [
        ({"flag_values": np.array([0, 1], np.int8), "flag_meanings": "good bad"}, [1]),
        ({"flag_values": np.array([0, 1], np.int8), "flag_meanings": "bad good"}, [0]),  # the name decides nothing
        ({"flag_values": np.array([1, 2, 3]), "flag_meanings": "good probably_good suspect"}, [3]),
        ({"flag_values": "0b, 1b, 2b", "flag_meanings": "open_ocean, land, ice"}, [1, 2]),
        ({"flag_values": "0x00 0x02", "flag_meanings": "valid invalid"}, [2]),
        ({"flag_meanings": "good bad"}, [1]),  # without values: from zero
        ({"flag_masks": np.array([1, 2], np.int8), "flag_meanings": "land rain_free"}, [1, 3]),
        ({"flag_masks": np.array([2], np.int8), "flag_meanings": "valid"}, [0, 1]),  # a good bit that is not set
        (
            {"flag_masks": [3, 3, 3], "flag_values": [0, 1, 2], "flag_meanings": "good suspect bad"},
            [1, 2],
        ),
        ({"flag_masks": np.array([0, 1]), "flag_meanings": "bad land"}, [1, 3]),  # a mask of no bit says nothing
        ({"long_name": "surface_classification_flag (0 open ocean)"}, [1, 2, 3]),
        ({"long_name": "quality: 0 = good, 2 = bad"}, [2]),
        ({"flag_values": [0, 1, 2], "flag_meanings": "good bad"}, []),  # which is which?
        ({"flag_values": [0, 1], "flag_meanings": "OGDR IGDR"}, []),
        ({"long_name": "Data origin"}, []),
        ({}, []),
    ],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_values(attrs, bad, lazy):
    said = meanings_of(attrs)
    held = dask.array.from_array(VALUES, chunks=2) if lazy else VALUES
    np.testing.assert_array_equal(np.asarray(said.bad(held)), np.isin(VALUES, bad))
    assert said.judges == bool(bad)


@given(st.lists(st.sampled_from([1, 2, 4, 8, 16, 64]), unique=True, min_size=1), st.integers(0, 127))
def test_any_bit_that_is_called_bad_condemns(masks, value):
    words = ["land", "sea_ice", "rain", "suspect", "bad", "cloud"][: len(masks)]
    said = meanings_of({"flag_masks": np.array(masks), "flag_meanings": " ".join(words)})
    assert bool(said.bad(np.array([value], np.int8))[0]) == any(value & mask for mask in masks)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("no_land_or_ice free_of_ice no_continental_ice no_bad_data no_missing_values ice_free_ocean", GOOD),
        ("bad_no_data invalid_no_fix missing_no_measurement rejected_outside_limits ice_free_land bad_not_sea", BAD),
        ("do_not_use out_of_range reject spurious noisy anomalous nodata no_data fill fill_value not_usable", BAD),
        ("outside_valid_range not_sea_ice_but_land", BAD),
        ("not_used unknown evaluation_not_possible no_map", NEITHER),
    ],
)
def test_a_denial_denies_its_own_words(words, wanted):
    assert {word: verdict(word) for word in words.split()} == dict.fromkeys(words.split(), wanted)
