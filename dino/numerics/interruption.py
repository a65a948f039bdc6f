"""Ctrl-C and a scheduler's notice (SIGTERM) as a flag, so that a step is never cut in half."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

NOTICES = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """Ctrl-C was pressed or the process told to end; the state is saved and the run can be resumed."""


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Turns the first notice into a flag; a second one is not caught. Outside the main thread nothing is caught."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    previous = {notice: signal.getsignal(notice) for notice in NOTICES}

    def handle(signum: int, frame: object) -> None:
        flag.set()
        restore()

    def restore() -> None:
        for notice, handler in previous.items():
            signal.signal(notice, handler)

    for notice in NOTICES:
        signal.signal(notice, handle)
    try:
        yield flag
    finally:
        restore()
