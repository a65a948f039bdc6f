"""dino-data: from files and simulations to stores."""

import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated

import typer

from data_pipeline.errors import DinoError
from data_pipeline.system.lazy_commands import lazy_group

COMMANDS = ("ingest", "log", "simulate", "sample", "inspect", "validate")

app = typer.Typer(
    name="dino-data",
    cls=lazy_group({name: f"data_pipeline.commands.{name}" for name in COMMANDS}),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dino-data {metadata.version('dino-ocean')}")
        raise typer.Exit


@app.callback()
def dino_data(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_tell_version, is_eager=True)
    ] = False,
) -> None:
    """Make stores from ocean products and simulations, sample them as satellites do, inspect and check them."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits with 0 when done, 1 when a store is unsound, 2 on an error of the user."""
    try:
        app(args=list(arguments) if arguments is not None else None)
    except DinoError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
