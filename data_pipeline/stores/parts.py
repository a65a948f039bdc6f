"""Field datasets that are made in parts: consecutive blocks of trajectories, independent of each other."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

import numpy as np
import xarray as xr

from data_pipeline.layout.checks import channel_names
from data_pipeline.system.progress import Progress
from data_pipeline.system.scheduler import in_order, on_a_cluster

Report = Callable[[float], None]  # called with the fraction that is done


@dataclass(frozen=True)
class FieldParts:
    """What the whole will be, and how each part of it is made.

    fields : canonical field dataset (trajectory, time, ...) whose channels are stand-ins (lazy zeros)
    sizes : trajectories of each part, in order
    make : part number, report -> channel name -> values (size, time, ...) of its type, the same whenever it is asked;
        it may call report with the fraction that is done
    settings : whatever determines the values, as text
    workers : parts made at a time, by threads; a cluster, where one is connected, has its own number
    """

    fields: xr.Dataset
    sizes: tuple[int, ...]
    make: Callable[[int, Report], Mapping[str, np.ndarray]]
    settings: str
    workers: int = 1

    def __post_init__(self) -> None:
        if sum(self.sizes) != self.fields.sizes["trajectory"]:
            raise ValueError(f"parts of {sum(self.sizes)} trajectories for {self.fields.sizes['trajectory']} of them")

    def shapes(self, part: int) -> dict[str, tuple[int, ...]]:
        """Shape of each channel of a part."""
        return {name: (self.sizes[part], *self.fields[name].shape[1:]) for name in channel_names(self.fields)}

    def compute(
        self,
        keep: Callable[[int, Mapping[str, np.ndarray]], None],
        done: Collection[int] = (),
        progress: Progress | None = None,
    ) -> None:
        """Make all parts but those `done` and hand each to `keep`: from `workers` threads, or from this one where a
        cluster makes them.

        progress: called with (maps done, maps in all). The first failure is raised and parts not begun are left out.
        """
        maps = self.fields.sizes["time"]
        fractions = [float(part in done) for part in range(len(self.sizes))]

        def report(part: int, fraction: float) -> None:
            fractions[part] = fraction
            if progress is not None:
                made = sum(size * fraction for size, fraction in zip(self.sizes, fractions, strict=True))
                progress(int(made * maps + 1e-6), sum(self.sizes) * maps)

        def run(part: int) -> None:
            keep(part, self.make(part, partial(report, part)))
            report(part, 1.0)

        missing = [part for part in range(len(self.sizes)) if part not in done]
        if on_a_cluster():
            for part, values in zip(missing, in_order(_made, missing, self.make), strict=True):
                keep(part, values)
                report(part, 1.0)
            return
        if self.workers == 1:
            for part in missing:
                run(part)
            return
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                for future in as_completed([pool.submit(run, part) for part in missing]):
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _made(make: Callable[[int, Report], Mapping[str, np.ndarray]], part: int) -> Mapping[str, np.ndarray]:
    """A part, in a worker: how far it is stays there."""
    return make(part, lambda fraction: None)


def gather(parts: FieldParts, progress: Progress | None = None) -> xr.Dataset:
    """The whole dataset in memory."""
    names = channel_names(parts.fields)
    values = {name: np.empty(parts.fields[name].shape, parts.fields[name].dtype) for name in names}
    ends = list(accumulate(parts.sizes))

    def keep(part: int, made: Mapping[str, np.ndarray]) -> None:
        for name in names:
            values[name][ends[part] - parts.sizes[part] : ends[part]] = made[name]

    parts.compute(keep, progress=progress)
    return parts.fields.assign({name: parts.fields[name].copy(data=values[name]) for name in names})
