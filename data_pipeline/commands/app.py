"""dino-data: from files and simulations to stores."""

import sys
from collections.abc import Sequence

import typer

from data_pipeline.commands.ingest import ingest
from data_pipeline.commands.inspect import inspect
from data_pipeline.commands.log import log
from data_pipeline.commands.sample import sample
from data_pipeline.commands.simulate import simulate
from data_pipeline.commands.validate import validate
from data_pipeline.errors import DinoError

app = typer.Typer(
    name="dino-data",
    help="Make stores from ocean products and simulations, sample them as satellites do, inspect and check them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (ingest, log, simulate, sample, inspect, validate):
    app.command()(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits with 0 when done, 1 when a store is unsound, 2 on an error of the user."""
    try:
        app(args=list(arguments) if arguments is not None else None)
    except DinoError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
