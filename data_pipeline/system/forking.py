"""What a forked process must make anew: threads stay with the parent, and libraries wait for them for ever.

A child has the parent's memory and one thread. A pool that counts the parent's threads as its own never begins what it
is given; a lock that another thread held is never let go of.
"""

import os
import sys
import threading
from collections import defaultdict
from collections.abc import Callable

_registered: set[Callable[[], None]] = set()


def in_every_child(repair: Callable[[], None]) -> None:
    """Call `repair` in every process that is forked from now on, before anything else runs there; once, if asked twice.

    Nothing happens where processes are not forked (Windows).
    """
    if repair not in _registered and hasattr(os, "register_at_fork"):
        _registered.add(repair)
        os.register_at_fork(after_in_child=repair)


def lazy_reading() -> None:
    """Let a child read: dask begins a pool of its own, zarr has a new lock (and a new loop, by itself), NetCDF too."""
    if dask := sys.modules.get("dask.threaded"):
        dask.default_pool = None  # type: ignore[attr-defined]
        dask.pools = defaultdict(dict)  # type: ignore[attr-defined]
        dask.pools_lock = threading.Lock()  # type: ignore[attr-defined]
    if zarr := sys.modules.get("zarr.core.sync"):
        zarr._lock = None  # type: ignore[attr-defined]
    if files := sys.modules.get("data_pipeline.products.files"):
        files._NETCDF_LOCK = threading.RLock()  # type: ignore[attr-defined]
    if locks := sys.modules.get("xarray.backends.locks"):
        for name in ("HDF5_LOCK", "NETCDFC_LOCK", "NETCDF4_PYTHON_LOCK"):
            # The same object is held by open files: what it wraps is made anew.
            wrapped = getattr(locks, name, None)
            for held in (wrapped, *getattr(wrapped, "locks", ())):
                if held is not None and hasattr(held, "lock"):
                    held.lock = threading.Lock()
