"""Training by several processes that share the work of every step: torch.distributed under `torchrun`.

    torchrun --nproc-per-node 2 -m dino train configs/mediterranean.yaml --out runs/mediterranean

Every process draws the same random batch from the same generator, works on its share of the batch and adds what it
found to what the others found. What is added are sums over points, frames or segments that one process would have
formed by itself, so nothing but rounding depends on the number of processes, which may change when a run is resumed.
Each process holds all the data. The first one alone writes.
"""

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from ..errors import ConfigError, ParallelError

# A process that waits this long for another one gives up: longer than a store takes to read or a run to be written.
PATIENCE = timedelta(minutes=30)
T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """The processes that train together: this one's rank, their number, and the device of this one.

    With one process, the default, nothing is communicated and nothing is copied. Every rank must make the same calls
    in the same order. Raises `ParallelError` when another process has gone.
    """

    device: str = "cpu"
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """This rank's part of `count` things; parts differ by one at most and may be empty."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def gather(self, part: Tensor, count: int) -> Tensor:
        """All `count` rows, of which `part` holds this rank's `share`."""
        if self.size == 1:
            return part
        rows = part.new_zeros(count, *part.shape[1:])
        rows[self.share(count)] = part
        self.sum_([rows])
        return rows

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type by their sums over all ranks, in one message; equal on all ranks to the bit."""
        if self.size == 1:
            return
        if len(tensors) == 1 and tensors[0].is_contiguous():  # a large matrix is not copied
            _talk(lambda: dist.all_reduce(tensors[0]))
            return
        buffer = torch.cat([tensor.reshape(-1) for tensor in tensors])
        _talk(lambda: dist.all_reduce(buffer))
        for tensor, part in zip(tensors, buffer.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def sum_gradients_(self, parameters: Sequence[Tensor], loss: Tensor) -> None:
        """Replace the gradients that a backward pass left, and the loss, by their sums over all ranks."""
        self.sum_([p.grad for p in parameters if p.grad is not None] + [loss])

    def copy_first_(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by those of rank 0, for what processors of different make might compute differently."""
        if self.size == 1:
            return
        for tensor in tensors:
            whole = tensor.contiguous()
            _talk(lambda whole=whole: dist.broadcast(whole, 0))
            tensor.copy_(whole)

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` returns on rank 0, on every rank: a number that decides, or a state only rank 0 can read."""
        if self.size == 1:
            return make()
        box = [make() if self.leads else None]
        _talk(lambda: dist.broadcast_object_list(box, 0))
        return box[0]  # type: ignore[return-value]

    def any(self, flag: bool) -> bool:
        """Whether the flag is up on any rank; between the hosts, without a wait for their devices."""
        if self.size == 1:
            return flag
        raised = torch.tensor(int(flag))
        _talk(lambda: dist.all_reduce(raised))
        return bool(raised)


ALONE = Group()


@contextmanager
def joined(device: str) -> Iterator[Group]:
    """The group that torchrun's environment describes, left when the block ends, by an error too.

    Without torchrun it is this process alone. Under it a `device` of "cuda" is the GPU of the process's local rank
    (NCCL, and gloo between the hosts), "cpu" is gloo. A process that fails ends with its error; the others cannot wait
    for it in vain, they stop with `ParallelError`. Raises `ConfigError` for devices that cannot be shared out.
    """
    size = int(os.environ.get("WORLD_SIZE", "1")) if dist.is_torchelastic_launched() else 1
    if size == 1:
        yield Group(device)
        return
    own = _own_device(device, int(os.environ["LOCAL_RANK"]))
    on_gpu = own.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(own)
    # Whatever imports this later, as optimisers do, keeps the group as a default argument: its threads would then
    # outlive the group and could meet the interpreter's end, which aborts the process.
    importlib.import_module("torch.distributed.nn.functional")
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=PATIENCE)
    try:
        yield Group(own, dist.get_rank(), size)
    finally:
        dist.destroy_process_group()


def send(drawn: Tensor, device: torch.device) -> Tensor:
    """Numbers drawn on the host, where their generator is the same for every device, to a device without a wait."""
    if device.type == "cpu":
        return drawn
    # From pageable memory even a non-blocking copy may wait for the stream.
    return (drawn.pin_memory() if device.type == "cuda" else drawn).to(device, non_blocking=True)


def draw_store(shares: Tensor, generator: torch.Generator) -> int:
    """The number of one of the training stores, by their shares of the batches."""
    return int(torch.multinomial(shares, 1, generator=generator)) if len(shares) > 1 else 0


def _own_device(device: str, local_rank: int) -> str:
    if not device.startswith("cuda"):
        return device
    if device != "cuda":
        raise ConfigError(f"device is {device}, but torchrun gives every process a GPU of its own; set device=cuda")
    if local_rank >= torch.cuda.device_count():
        raise ConfigError(
            f"process {local_rank} of this machine has no GPU, there are {torch.cuda.device_count()}; "
            "lower torchrun's --nproc-per-node"
        )
    return f"cuda:{local_rank}"


def _talk(message: Callable[[], object]) -> None:
    """Run a collective operation; a broken connection means that another process has gone."""
    try:
        message()
    except RuntimeError as error:
        raise ParallelError(
            f"another process of the group has ended, see its message; resume with --resume ({error})"
        ) from error
