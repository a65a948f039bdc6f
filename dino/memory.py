"""Memory of a training process: what tensors free stays in the process and is used again.

A step of training allocates and frees the same large blocks thousands of times. By default the C library maps each
block anew and returns it to the system, which must clear its pages every time; on a virtual machine that can be most of
a step.
"""

import ctypes
import sys

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Ask the C library to keep what is freed; True where it can be asked (glibc), elsewhere nothing happens."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))
