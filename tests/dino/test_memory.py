"""Freed blocks are used again, measured in a process of its own."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from dino.memory import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else None
for _ in range(3):
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
