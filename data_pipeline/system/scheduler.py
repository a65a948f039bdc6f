"""The one door to a cluster: what a command computes in pieces runs on a dask.distributed scheduler, or here without.

A piece depends on its arguments alone, so that one that a dead worker took with it is computed again, to the same
values. Only values come back: stores are written by the process that was called. Scheduler and workers must see the
files that are read under the same paths, and run the same code with the same numerical libraries.
"""

import queue
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import metadata
from typing import Any, TypeVar

from data_pipeline.errors import MissingPackageError, SchedulerError, reason
from data_pipeline.system.provenance import digest_of_code

CONNECT_SECONDS = 5.0
# A cluster may be starting its workers; none at all would make a command wait for ever.
WORKERS_SECONDS = 30.0
_LIBRARIES = ("cloudpickle", "dask", "distributed", "netCDF4", "numpy", "pandas", "scipy", "xarray", "zarr")

Item = TypeVar("Item")
Result = TypeVar("Result")
# A dask Client, whose package is an extra.
_client: ContextVar[Any] = ContextVar("client", default=None)


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """`in_order` and `computed` run on the scheduler at `address` (tcp://host:port) inside; None changes nothing.

    Raises MissingPackageError without the extra `distributed`, and SchedulerError when nobody answers within
    CONNECT_SECONDS, no worker is there within WORKERS_SECONDS, they run other code, or the cluster is lost on the way.
    """
    if address is None:
        yield
        return
    try:
        from distributed import KilledWorker
        from distributed.comm.core import CommClosedError
    except ImportError as error:
        raise MissingPackageError(
            "--scheduler needs the package distributed, which is not installed; "
            'install it with: pip install "dino-ocean[distributed]"'
        ) from error
    with _connection(address) as client:
        _require_workers(client, address)
        former = _client.set(client)
        try:
            yield
        except KilledWorker as error:
            raise SchedulerError(
                f"a piece of the work died with several workers of {address!r} in turn ({reason(error)}); "
                "give them more memory, or leave out --scheduler"
            ) from error
        except (CancelledError, CommClosedError) as error:
            raise SchedulerError(
                f"the connection to {address!r} was lost ({reason(error)}); nothing was written, run the command again"
            ) from error
        finally:
            _client.reset(former)


@contextmanager
def here() -> Iterator[None]:
    """Nothing runs on a cluster inside: for values that lie in this process, or in a folder of its own."""
    former = _client.set(None)
    try:
        yield
    finally:
        _client.reset(former)


def on_a_cluster() -> bool:
    """Whether `in_order` and `computed` run on a cluster."""
    return _client.get() is not None


def in_order(function: Callable[[Any, Item], Result], items: Iterable[Item], shared: Any) -> Iterator[Result]:
    """`function(shared, item)` of every item, in their order.

    On a cluster two items a thread are computed ahead, and `shared` is sent once; here it is a plain loop. Results that
    wait are what bounds memory. The first error is raised as it is, and what has not begun is left out.
    """
    client = _client.get()
    if client is None:
        for item in items:
            yield function(shared, item)
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph")  # once, where the advice is meant for every task
        held = client.submit(_itself, shared, pure=False)
    ahead = 2 * max(1, sum(client.ncores().values()))
    waiting: deque[Any] = deque()
    try:
        for item in items:
            waiting.append(client.submit(_alone, function, held, item, pure=False))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        if waiting and client.status == "running":
            client.cancel(list(waiting))


def computed(lazy: Any) -> Any:
    """What `dask.compute` makes of nested lazy values, on the cluster where there is one."""
    import dask.base  # here, as whatever may use a cluster would wait for it

    client = _client.get()

    return dask.base.compute(lazy, **({} if client is None else {"scheduler": client}))[0]


def _connection(address: str) -> Any:
    """A Client; SchedulerError when there is none in time.

    The timeout of dask ends with the connection. What listens there may never speak: a thread waits for that.
    """
    from distributed import Client

    made: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def connect() -> None:
        try:
            made.put(Client(address, timeout=CONNECT_SECONDS, set_as_default=False))
        except Exception as error:  # of the network, of the address, or of whatever else listens there
            made.put(error)

    threading.Thread(target=connect, daemon=True).start()
    try:
        client = made.get(timeout=1.5 * CONNECT_SECONDS)
    except queue.Empty:
        client = TimeoutError("what listens there does not speak to dask")
    if isinstance(client, Exception):
        raise SchedulerError(
            f"no dask scheduler answered at {address!r} within {CONNECT_SECONDS:g} s ({reason(client)}); "
            "start one with `dask scheduler` or correct --scheduler"
        ) from client
    return client


def _require_workers(client: Any, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKERS_SECONDS)
    except TimeoutError as error:
        raise SchedulerError(
            f"the scheduler at {address!r} has had no worker for {WORKERS_SECONDS:g} s; "
            f"start some with `dask worker {address}`"
        ) from error
    mine = _environment()
    try:
        theirs = {**client.run(_environment), "the scheduler": client.run_on_scheduler(_environment)}
    except Exception as error:  # whatever importing raises where something is missing
        raise SchedulerError(
            f"{address!r} cannot run this program ({reason(error)}); install the same version for it and its workers"
        ) from error
    for name, environment in theirs.items():
        for package, version in mine.items():
            if environment[package] != version:
                raise SchedulerError(
                    f"{name} of {address!r} has {package} {environment[package]} where this process has {version}; "
                    "results could differ, so install the same versions everywhere"
                )


# When it is imported, not when it is asked for: a worker may run for longer than the files stay as they are.
_CODE = digest_of_code()[:12]


def _environment() -> dict[str, str]:
    """What results depend on besides the input: versions of the numerical libraries and of the code of this package."""
    versions = {name: metadata.version(name) for name in _LIBRARIES}
    return {"Python": sys.version.split()[0], **versions, "data_pipeline": _CODE}


def _itself(shared: Any) -> Any:
    return shared


def _alone(function: Callable[[Any, Any], Result], shared: Any, item: Any) -> Result:
    """In a worker: whatever dask computes on the way is computed in this thread. Threads of workers that all waited for
    other tasks of the cluster would wait for ever.
    """
    with _within_the_thread:
        return function(shared, item)


class _WithinTheThread:
    """Dask set to the synchronous scheduler while any thread of this process is inside: its settings are global."""

    def __init__(self) -> None:
        self._lock, self._inside, self._setting = threading.Lock(), 0, None

    def __enter__(self) -> None:
        import dask.config

        with self._lock:
            if not self._inside:
                import dask.config

                self._setting = dask.config.set(scheduler="synchronous")
            self._inside += 1

    def __exit__(self, *error: Any) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._setting is not None:
                self._setting.__exit__(*error)


_within_the_thread = _WithinTheThread()
