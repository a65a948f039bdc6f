"""dino-data validate: is a store sound, and if not, what is wrong where."""

from pathlib import Path
from typing import Annotated

import typer

from data_pipeline.commands.options import Scheduler
from data_pipeline.stores.validation import validate_store
from data_pipeline.system.exit_codes import ExitCode
from data_pipeline.system.scheduler import connected


def validate(store: Annotated[Path, typer.Argument(help="The store to check.")], scheduler: Scheduler = None) -> None:
    """Check every rule of the layout of a store and every value; exit with 1 when something is wrong.

    Example: dino-data validate stores/tracks.zarr
    """
    with connected(scheduler):
        problems = validate_store(store)
    for problem in problems:
        typer.echo(f"{store}: {problem}")
    if problems:
        raise typer.Exit(ExitCode.FAULT)
    typer.echo(f"{store} is sound")
