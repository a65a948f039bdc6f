"""Options that several commands share."""

from typing import Annotated

import typer

Scheduler = Annotated[
    str | None,
    typer.Option(help="Compute on a dask.distributed cluster, e.g. tcp://127.0.0.1:8786; the result is the same."),
]
