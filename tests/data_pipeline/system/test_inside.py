"""A path that a foreign folder names stays inside it, whatever it is called."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.errors import StoreError
from data_pipeline.system.inside import inside

OUT = [
    "/etc/passwd",
    "..",
    "../x",
    "a/../../x",
    "a/..",
    "",
    "C:\\x",
    "\\\\server\\x",
    "..\\x",
    "a\\..\\..\\x",
    "/",
    "a\0b",
    ".",
]


@pytest.mark.parametrize("name", OUT)
def test_names_that_lead_out_are_refused(tmp_path, name):
    with pytest.raises(StoreError, match="no path inside it"):
        inside(tmp_path, name)


@pytest.mark.parametrize("name", ["a", "a/b", "a/b/c.json", "..a", "a..b", ".hidden", "a b", "ä"])
def test_names_inside_are_paths(tmp_path, name):
    assert inside(tmp_path, name) == tmp_path / name


def test_links_are_followed_to_where_they_lead(tmp_path):
    folder, elsewhere = tmp_path / "folder", tmp_path / "folder-beside"
    for made in (folder / "a", elsewhere):
        made.mkdir(parents=True)
    (elsewhere / "x").touch()
    (folder / "out").symlink_to(elsewhere)
    (folder / "file").symlink_to(elsewhere / "x")
    (folder / "round").symlink_to("loop")
    (folder / "loop").symlink_to("a")
    for name in ("out", "out/x", "file"):
        with pytest.raises(StoreError, match="led out of its folder"):
            inside(folder, name)
    assert inside(folder, "round/x") == folder / "round" / "x"
    (tmp_path / "whole").symlink_to(folder)  # the folder itself may be a link: somebody named it
    assert inside(tmp_path / "whole", "a/b") == tmp_path / "whole" / "a" / "b"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "..", ".", "", "/", "c:", "\\", "x y"]), max_size=6).map("/".join))
def test_any_name_is_inside_or_refused(name):
    folder = Path("/no/such/folder")
    try:
        path = inside(folder, name)
    except StoreError:
        return
    assert os.path.normpath(path).startswith(f"{folder}{os.sep}")
