"""A process that is forked after its parent has computed: it computes with one thread, as the others stay behind."""

import torch

from data_pipeline.system.forking import in_every_child, lazy_reading


def _one_thread() -> None:
    # The threads of OpenMP are not in the child, which would wait for them at the end of its first parallel loop.
    torch.set_num_threads(1)


def compute_in_children() -> None:
    """Let processes that are forked from now on read lazy stores and forecast, each with one thread."""
    in_every_child(lazy_reading)
    in_every_child(_one_thread)
