"""dino: train, transfer, forecast and evaluate."""

import sys
from collections.abc import Sequence

import typer

from data_pipeline.commands.lazy import program

from ..errors import DinoError
from ..numerics.interruption import Interrupted
from ..numerics.memory import keep_freed_memory
from ..numerics.threads import let_waiting_threads_sleep

COMMANDS = ("train", "transfer", "relocate", "forecast", "evaluate", "demo", "reproduce")
app = program(
    "dino",
    "Forecast ocean fields at any longitude, latitude and time.",
    {name: f"dino.commands.{name}" for name in COMMANDS},
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits with 0 when done, 2 on an error of the user, 130 after Ctrl-C."""
    keep_freed_memory()
    let_waiting_threads_sleep()
    try:
        app(args=list(arguments) if arguments is not None else None)
    except Interrupted as stop:
        typer.echo(f"{stop}; continue with --resume", err=True)
        sys.exit(130)
    except DinoError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        # What the system has against a path: a full disk, missing rights, a file where a folder is wanted.
        reason = error.strerror or type(error).__name__
        typer.echo(f"error: {error.filename}: {reason.lower()}; free space or give another path", err=True)
        sys.exit(2)
