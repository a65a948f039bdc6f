"""Notices to end become a flag, the first time; then everything is as it was."""

import os
import signal
import threading

import pytest

from dino.numerics.interruption import NOTICES, interruptible


@pytest.fixture(autouse=True)
def raising():
    """A second notice must not end the test's own process: it raises, as Ctrl-C does."""

    def stop(signum, frame):
        raise KeyboardInterrupt

    before = {notice: signal.signal(notice, stop) for notice in NOTICES}
    yield stop
    for notice, handler in before.items():
        signal.signal(notice, handler)


@pytest.mark.parametrize("notice", NOTICES)
def test_the_first_notice_is_a_flag_and_the_second_is_not_caught(notice, raising):
    other = NOTICES[notice == NOTICES[0]]
    with interruptible() as flag:
        assert not flag.is_set()
        os.kill(os.getpid(), notice)
        assert flag.is_set()
        with pytest.raises(KeyboardInterrupt):  # another kind of notice is a second one too
            os.kill(os.getpid(), other)
    assert all(signal.getsignal(each) is raising for each in NOTICES)


def test_without_a_notice_and_after_an_error_handlers_are_as_before(raising):
    with interruptible() as flag:
        assert signal.getsignal(signal.SIGTERM) is not raising
    assert not flag.is_set()
    with pytest.raises(ValueError, match="of the block"), interruptible():
        raise ValueError("of the block")
    assert all(signal.getsignal(each) is raising for each in NOTICES)


def test_outside_the_main_thread_nothing_is_caught(raising):
    seen = []

    def run():
        with interruptible() as flag:
            seen.extend([flag.is_set(), signal.getsignal(signal.SIGINT) is raising])

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [False, True]
