"""Memory of a training process: what tensors free stays in the process and is used again.

A step of training allocates and frees the same large blocks thousands of times. By default the C library maps each
block anew and returns it to the system, which must clear its pages every time; on a virtual machine that can be most of
a step.
"""

import ctypes
import sys
from typing import Any

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Ask the C library to keep what is freed; True where it can be asked (glibc), elsewhere nothing happens."""
    mallopt = _function("mallopt")
    return mallopt is not None and bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))


def release_freed_memory() -> bool:
    """Return what is freed to the system after all, between stages whose blocks are of other sizes; True if asked."""
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)
    return trim is not None


def _function(name: str) -> Any:
    """A function of glibc, None where there is another C library."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
