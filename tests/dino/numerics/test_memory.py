"""Freed blocks are used again, measured in a process of its own."""

import resource
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from dino.numerics.memory import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else None
for _ in range(12):  # until the heap has found a place for the block, which depends on where it begins
    torch.ones(3, 2**22)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(3, 2**22)
sys.stdout.write(f"{kept} {resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before}")
"""


def faults(how):
    made = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
    kept, count = made.stdout.split()
    return kept, int(count)


def test_freed_memory_is_used_again():
    kept, count = faults("keep")
    if kept != "True":
        pytest.skip("this C library cannot be asked")
    assert count < 0.2 * faults("leave")[1]


RELEASED = """
import sys, torch
from pathlib import Path
from dino.numerics.memory import keep_freed_memory, release_freed_memory
resident = lambda: int(Path("/proc/self/statm").read_text().split()[1])
keep_freed_memory()
blocks = [torch.ones(2**22) for _ in range(8)]
last = torch.ones(2**10)  # above the blocks, so that the heap cannot shrink from its end
del blocks
before = resident()
sys.stdout.write(f"{release_freed_memory()} {before - resident()}")
"""


def test_freed_memory_is_returned_when_asked():
    if not sys.platform.startswith("linux"):
        pytest.skip("there is no /proc here")
    made = subprocess.run([sys.executable, "-c", RELEASED], capture_output=True, text=True, check=True)
    asked, pages = made.stdout.split()
    if asked != "True":
        pytest.skip("this C library cannot be asked")
    assert int(pages) * resource.getpagesize() > 6 * 4 * 2**22
