"""Run a program: its options that hold for every command, and the code and the words that every ending has."""

import sys
import time
import traceback
from collections.abc import Sequence
from typing import Any

from data_pipeline.errors import DinoError
from data_pipeline.system.exit_codes import ExitCode, exit_code
from data_pipeline.system.voice import Voice, speaking, tell, voice

FLAGS = {"--quiet": Voice.QUIET, "--log-json": Voice.JSON}


def run(app: Any, arguments: Sequence[str] | None = None, interrupted: type[BaseException] = KeyboardInterrupt) -> None:
    """Run the command line and exit with one of `ExitCode`.

    `--quiet` and `--log-json` are taken before or after the command's name. interrupted: an exception by which a
    command tells that it was interrupted and can be resumed.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    own = words[: words.index("--")] if "--" in words else words
    flags = [word for word in own if word in FLAGS]
    words = [*flags, *(word for word in own if word not in FLAGS), *words[len(own) :]]
    began = time.monotonic()
    with speaking(FLAGS[flags[-1]] if flags else Voice.TEXT):
        code = _code(app, words, interrupted)
        if voice() is Voice.JSON:
            seconds = round(time.monotonic() - began, 3)
            tell("info", "end", f"exit code {int(code)}", exit_code=int(code), seconds=seconds)
    sys.exit(int(code))


def _code(app: Any, words: list[str], interrupted: type[BaseException]) -> int:
    """What the program ends with; an error is told."""
    try:
        return app(args=words, standalone_mode=False) or ExitCode.DONE
    except interrupted as stop:
        _fail(stop, ExitCode.INTERRUPTED, f"{stop}; continue with --resume" if str(stop) else "interrupted")
        return ExitCode.INTERRUPTED
    except SystemExit as stop:  # the program's library, when nobody reads its output any more
        return stop.code if isinstance(stop.code, int) else ExitCode.FAULT
    except KeyboardInterrupt as stop:
        _fail(stop, ExitCode.INTERRUPTED, "interrupted")
        return ExitCode.INTERRUPTED
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> int:
    code = exit_code(error)
    if isinstance(error, DinoError):
        kind = "nothing new" if code is ExitCode.NOTHING_NEW else "error"
        _fail(error, code, str(error), kind)
    elif type(error).__name__ == "Abort":  # Ctrl-C, as older versions of the program's library tell it
        code = ExitCode.INTERRUPTED
        _fail(error, code, "interrupted")
    elif hasattr(error, "format_message") and hasattr(error, "exit_code"):  # the command line is none
        return _misused(error)
    elif code is ExitCode.REFUSED:
        assert isinstance(error, OSError)
        # What the system has against a path: a full disk, missing rights, a file where a folder is wanted.
        reason = (error.strerror or type(error).__name__).lower()
        _fail(error, code, f"{error.filename}: {reason}; free space or give another path", "error")
    elif voice() is Voice.JSON:
        _fail(error, code, str(error) or type(error).__name__, traceback=traceback.format_exc())
    elif voice() is Voice.QUIET:
        tell("error", "error", traceback.format_exc().rstrip())
    else:
        raise error
    return code


def _misused(error: Any) -> int:
    """A wrong command line: the program's library shows it with the usage, or tells it in one sentence."""
    message = error.format_message()
    if voice() is Voice.TEXT:
        from typer import rich_utils  # late, as rich takes a while

        rich_utils.rich_format_error(error)
    else:
        _fail(error, ExitCode.REFUSED, message, "error")
    return error.exit_code


def _fail(error: BaseException, code: ExitCode, message: str, kind: str = "", **more: Any) -> None:
    """Tell what ended the command, with "error: " or "nothing new: " before it in text."""
    level = "info" if code is ExitCode.NOTHING_NEW else "error"
    if voice() is Voice.JSON:
        event = "nothing new" if code is ExitCode.NOTHING_NEW else "error"
        tell(level, event, message, type=type(error).__name__, exit_code=int(code), **more)
    else:
        tell(level, "error", f"{kind}: {message}" if kind else message)
