"""dino: train, transfer, forecast and evaluate."""

import sys
from collections.abc import Sequence

import typer

from ..errors import DinoError
from ..numerics.memory import keep_freed_memory
from ..training.loop import Interrupted
from .demo import demo
from .evaluate import evaluate
from .forecast import forecast
from .relocate import relocate
from .reproduce import reproduce
from .train import train
from .transfer import transfer

app = typer.Typer(
    name="dino",
    help="Forecast ocean fields at any longitude, latitude and time.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (train, transfer, relocate, forecast, evaluate, demo, reproduce):
    app.command()(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits with 0 when done, 2 on an error of the user, 130 after Ctrl-C."""
    keep_freed_memory()
    try:
        app(args=list(arguments) if arguments is not None else None)
    except Interrupted as stop:
        typer.echo(f"{stop}; continue with --resume", err=True)
        sys.exit(130)
    except DinoError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
