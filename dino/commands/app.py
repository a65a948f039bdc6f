"""dino: train, transfer, forecast and evaluate."""

from collections.abc import Sequence

from data_pipeline.commands.lazy import program
from data_pipeline.commands.running import run

from ..numerics.interruption import Interrupted
from ..numerics.memory import keep_freed_memory
from ..numerics.threads import let_waiting_threads_sleep

COMMANDS = (
    "train", "transfer", "relocate", "forecast", "map", "evaluate", "score", "models", "demo", "reproduce",
)  # fmt: skip
app = program(
    "dino",
    "Forecast ocean fields at any longitude, latitude and time.",
    {name: f"dino.commands.{name}" for name in COMMANDS},
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits with a code of `data_pipeline.system.exit_codes`."""
    keep_freed_memory()
    let_waiting_threads_sleep()
    run(app, arguments, Interrupted)
