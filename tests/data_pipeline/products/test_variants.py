"""Hundreds of variants of one true data set: each is read as the truth or refused in words, none as another."""

import numpy as np
import pytest
import xarray as xr
from variants import ADT, DAYS, LATITUDE, LONGITUDE, variants

from data_pipeline.errors import DinoError
from data_pipeline.products import ingest
from data_pipeline.products.arranged import arranged

VARIANTS = list(variants())


def cells(ds):
    """Value by time, latitude and longitude of a dataset in either layout."""
    table = ds[["adt"]].compute().to_dataframe().reset_index().dropna(subset=["adt"])
    time = table["time"].to_numpy().astype("datetime64[ns]")
    keys = zip(time.tolist(), table["latitude"].round(6), table["longitude"].round(6), strict=True)
    return dict(zip(keys, table["adt"], strict=True))


TRUTH = {
    (DAYS[t].astype(int), LATITUDE[y], LONGITUDE[x]): ADT[t, y, x]
    for t, y, x in np.ndindex(ADT.shape)
    if np.isfinite(ADT[t, y, x])
}


def check(read, outcome):
    made, refusal = None, ""
    try:
        made = read()
    except DinoError as error:
        refusal = str(error)
    if made is None:
        assert outcome != "read", f"refused: {refusal}"
        assert len(refusal) > 20
        return
    assert outcome != "refused", "read without a word"
    found = cells(made)
    assert found.keys() == TRUTH.keys()
    for key, value in TRUTH.items():
        assert found[key] == pytest.approx(value, abs=2e-6), key


def test_there_are_enough():
    assert len(VARIANTS) >= 200
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS)


@pytest.mark.parametrize("variant", VARIANTS, ids=[variant.name for variant in VARIANTS])
def test_a_file_is_read_as_the_truth_or_refused(variant, tmp_path):
    path = variant.write(tmp_path)
    check(lambda: ingest([path]), variant.outcome)


@pytest.mark.parametrize(
    "variant", [v for v in VARIANTS if "table" not in v.name], ids=[v.name for v in VARIANTS if "table" not in v.name]
)
def test_the_same_through_python(variant, tmp_path):
    path = variant.write(tmp_path)
    if path.is_dir():
        with xr.open_zarr(path) as opened:
            check(lambda: arranged(opened, {"adt": "m"}), "read")
        return
    try:
        opened = xr.open_dataset(path, decode_timedelta=False)
    except ValueError:  # xarray itself refuses the times
        return
    with opened:
        check(lambda: arranged(opened, {"adt": "m"}), variant.outcome)
