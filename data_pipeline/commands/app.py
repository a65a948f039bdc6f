"""dino-data: from files and simulations to stores."""

import sys
from collections.abc import Sequence

import typer

from data_pipeline.commands.lazy import program
from data_pipeline.errors import DinoError

COMMANDS = ("ingest", "log", "simulate", "sample", "inspect", "validate")
app = program(
    "dino-data",
    "Make stores from ocean products and simulations, sample them as satellites do, inspect and check them.",
    {name: f"data_pipeline.commands.{name}" for name in COMMANDS},
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits with 0 when done, 1 when a store is unsound, 2 on an error of the user."""
    try:
        app(args=list(arguments) if arguments is not None else None)
    except DinoError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
