"""dino-data: from files and simulations to stores."""

from collections.abc import Sequence

from data_pipeline.commands.lazy import program
from data_pipeline.commands.running import run

COMMANDS = ("ingest", "log", "simulate", "sample", "inspect", "validate")
app = program(
    "dino-data",
    "Make stores from ocean products and simulations, sample them as satellites do, inspect and check them.",
    {name: f"data_pipeline.commands.{name}" for name in COMMANDS},
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits with a code of `system.exit_codes`."""
    run(app, arguments)
