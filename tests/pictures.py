"""What tests ask of a figure's file."""

import numpy as np
from PIL import Image


def pixels(path):
    """A picture (row, column, 3) as whole numbers."""
    with Image.open(path) as file:
        return np.asarray(file.convert("RGB")).astype(np.int64)


def longest_run(dark):
    """The longest run of True along the last axis, over all rows of (row, column)."""
    ends = np.cumsum(dark, axis=1)
    before = np.maximum.accumulate(np.where(dark, 0, ends), axis=1)
    return int((ends - before).max())


def assert_drawn(path, *, other=None):
    """A picture of a sensible size with axes and data, which changes with the data.

    Axes are dark straight lines, across and upright, of a tenth of the picture at least. Data are colours: words and
    axes are grey, so a figure whose data are missing has none. `other` is the same figure of other data.
    """
    image = pixels(path)
    height, width = image.shape[:2]
    assert 150 < height < 4000
    assert 150 < width < 4000
    dark = image.max(-1) < 140
    assert longest_run(dark) > width / 10
    assert longest_run(dark.T) > height / 10
    coloured = np.ptp(image, axis=-1) > 40
    assert coloured.mean() > 0.0005
    assert len(np.unique(image[coloured] @ [65536, 256, 1])) > 3
    assert (image.min(-1) > 200).mean() > 0.05  # paper: no picture is ink alone
    if other is not None:
        second = pixels(other)
        rows, columns = np.minimum(image.shape[:2], second.shape[:2])
        assert (image[:rows, :columns] != second[:rows, :columns]).any(-1).mean() > 0.001
