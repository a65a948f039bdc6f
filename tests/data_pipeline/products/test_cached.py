"""Files that are read once: what names a store of the cache, and when it is made anew."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from data_pipeline.errors import MissingFileError, UnknownProductError
from data_pipeline.products import cached
from data_pipeline.products.cached import cache_folder, ingested


def track(path: Path, value: float = 0.1) -> Path:
    time = np.datetime64("2022-01-01", "ns") + np.arange(40) * np.timedelta64(1, "s")
    columns = {
        "sla_unfiltered": ("time", np.full(40, value), {"units": "m"}),
        "longitude": ("time", np.linspace(-60.0, -59.0, 40), {"units": "degrees_east"}),
        "latitude": ("time", np.linspace(35.0, 36.0, 40), {"units": "degrees_north"}),
    }
    xr.Dataset(columns, coords={"time": time}).to_netcdf(path)
    return path


def test_files_are_read_once(tmp_path, monkeypatch):
    track(tmp_path / "a.nc")
    track(tmp_path / "b.nc", 0.2)
    first = ingested([str(tmp_path / "*.nc")], tmp_path / "cache")
    assert first["sla"].sizes == {"obs": 80}
    monkeypatch.setattr(cached, "ingest", lambda *files, **options: pytest.fail("read again"))
    xr.testing.assert_identical(ingested([str(tmp_path / "*.nc")], tmp_path / "cache").load(), first.load())


def test_another_content_option_or_version_is_read_anew(tmp_path, monkeypatch):
    path, cache = track(tmp_path / "a.nc"), tmp_path / "cache"
    ingested([path], cache)
    ingested([path], cache, keep_flagged=True)
    track(path, 0.3)
    assert float(ingested([path], cache)["sla"][0]) == pytest.approx(0.3)
    monkeypatch.setattr(cached, "digest_of_code", lambda: "another")
    ingested([path], cache)
    assert len(list((cache / "ingested").iterdir())) == 4


def test_what_cannot_be_read_leaves_nothing(tmp_path):
    with pytest.raises(MissingFileError, match="no file"):
        ingested([tmp_path / "none.nc"], tmp_path / "cache")
    (tmp_path / "thesis.pdf").write_bytes(b"%PDF\x00\xff")
    with pytest.raises(UnknownProductError):
        ingested([tmp_path / "thesis.pdf"], tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_the_cache_is_where_the_user_or_the_system_keeps_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("DINO_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("DINO_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "system"))
    assert cache_folder() == tmp_path / "system" / "dino"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "dino"
