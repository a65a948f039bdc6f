"""dino: train, transfer, forecast and evaluate."""

import sys
from collections.abc import Sequence

import typer

from .commands.benchmark import benchmark
from .commands.demo import demo
from .commands.evaluate import evaluate
from .commands.forecast import forecast
from .commands.relocate import relocate
from .commands.reproduce import reproduce
from .commands.train import train
from .commands.transfer import transfer
from .errors import DinoError
from .memory import keep_freed_memory
from .training.loop import Interrupted

app = typer.Typer(
    name="dino",
    help="Forecast ocean fields at any longitude, latitude and time.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (train, transfer, relocate, forecast, evaluate, demo, reproduce):
    app.command()(command)
app.add_typer(benchmark, name="benchmark")


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
