"""DINo's scores: mean squared errors in and after the training period, at and beside the kept points."""

from typing import Any

import torch
from torch import Tensor


def score(forecast: Tensor, truth: Tensor, kept: Tensor, interval: float, training_frames: int = 10) -> dict[str, Any]:
    """Mean squared errors of frames (sequence, frame, point, channel), both in physical units.

    `in_t` are the frames before `training_frames`, `out_t` those after; `in_s` the kept points (point,), `out_s` the
    others (None where all are kept), `all` the whole grid. `by_frame` holds the whole grid's error at every lead.
    """
    if forecast.shape != truth.shape:
        raise ValueError(f"a forecast of shape {tuple(forecast.shape)} cannot be scored on {tuple(truth.shape)}")
    error = (forecast.double() - truth.double()).square()
    places = {"all": torch.ones_like(kept), "in_s": kept, "out_s": ~kept}
    by_frame = error.mean(dim=(0, 2, 3))
    return {
        "in_t": _means(error[:, :training_frames], places),
        "out_t": _means(error[:, training_frames:], places),
        "by_channel": [
            {"in_t": float(part[:, :training_frames].mean()), "out_t": float(part[:, training_frames:].mean())}
            for part in error.unbind(-1)
        ],
        "by_frame": {
            "lead_days": [interval * frame for frame in range(len(by_frame))],
            "mse": by_frame.tolist(),
        },
    }


def _means(error: Tensor, places: dict[str, Tensor]) -> dict[str, float | None]:
    return {name: float(error[:, :, which].mean()) if bool(which.any()) else None for name, which in places.items()}
