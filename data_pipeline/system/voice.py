"""How a command speaks: in text, of errors alone (`--quiet`), or in JSON, an object a line on stderr (`--log-json`).

A command prints as it always does. Where it is to be quiet its lines are dropped, and in JSON each line becomes an
object with `time` (UTC), `level`, `event` and `message`; what goes to stdout is the event "result", what goes to stderr
a "note", or a "warning" where it says so. stdout stays empty then.
"""

import datetime as dt
import io
import json
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, TextIO


class Voice(StrEnum):
    """The three ways."""

    TEXT = "text"
    QUIET = "quiet"
    JSON = "json"


class _Speaker:
    """The voice of this process and where it goes; threads share it."""

    voice = Voice.TEXT
    stderr: TextIO | None = None


def voice() -> Voice:
    """The voice of the command that runs."""
    return _Speaker.voice


@contextmanager
def speaking(wanted: Voice) -> Iterator[None]:
    """All that is printed inside goes by the wanted voice."""
    if wanted is Voice.TEXT:
        yield
        return
    former = sys.stdout, sys.stderr
    _Speaker.voice, _Speaker.stderr = wanted, former[1]
    out, err = _Lines("info", "result"), _Lines("info", "note")
    sys.stdout, sys.stderr = out, err
    try:
        with warnings.catch_warnings():
            if wanted is Voice.JSON:
                warnings.showwarning = _warned
            yield
    finally:
        out.finish()
        err.finish()
        sys.stdout, sys.stderr = former
        _Speaker.voice, _Speaker.stderr = Voice.TEXT, None


def tell(level: str, event: str, message: str, **more: Any) -> None:
    """One event: an object on stderr in JSON, a line on stderr in text, and when quiet only if its level is "error"."""
    if _Speaker.voice is Voice.JSON:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"time": now, "level": level, "event": event, "message": message, **more}, default=str)
    elif _Speaker.voice is Voice.TEXT or level == "error":
        line = message
    else:
        return
    # One write, so that lines of threads do not mix.
    stream = _Speaker.stderr or sys.stderr
    stream.write(f"{line}\n")
    stream.flush()


def _warned(message: Any, category: type[Warning], filename: str, lineno: int, *rest: Any) -> None:
    tell("warning", "warning", str(message), type=category.__name__)


class _Lines(io.TextIOBase):
    """A stream whose whole lines are told."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, level: str, event: str) -> None:
        self.level, self.event, self.begun = level, event, ""
        self.lock = threading.Lock()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self.lock:
            *whole, self.begun = (self.begun + text).split("\n")
        for line in whole:
            self._tell(line)
        return len(text)

    def finish(self) -> None:
        """Tell the last line, which has no end."""
        rest, self.begun = self.begun, ""
        self._tell(rest)

    def _tell(self, line: str) -> None:
        line = line.strip()
        if line.startswith("warning: "):
            tell("warning", "warning", line.removeprefix("warning: "))
        elif any(letter.isalnum() for letter in line):  # frames of tables say nothing
            tell(self.level, self.event, line.removeprefix("note: "))
