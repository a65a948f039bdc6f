"""Gaussian low-pass of fields on a periodic box, in space and time: what mapping makes of a sea level."""

import numpy as np
from scipy.ndimage import gaussian_filter1d


def low_pass(fields: np.ndarray, time: float, space: float) -> np.ndarray:
    """Fields (trajectory, time, y, x) smoothed by Gaussians of standard deviations `time` [maps] and `space` [cells].

    Exact in space, by the transform of the periodic box; in time the first and last maps are repeated beyond the ends,
    so that about three standard deviations there are of less worth. float32 in and out.
    """
    size = fields.shape[-2:]
    wave_y, wave_x = np.fft.fftfreq(size[0]), np.fft.rfftfreq(size[1])
    damping = np.exp(-2 * (np.pi * space) ** 2 * (wave_y[:, None] ** 2 + wave_x**2)).astype(np.float32)
    smooth = np.fft.irfft2(np.fft.rfft2(fields) * damping, s=size).astype(np.float32)
    return gaussian_filter1d(smooth, time, axis=1, mode="nearest", truncate=3.0)
