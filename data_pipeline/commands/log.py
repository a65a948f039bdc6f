"""dino-data log: what was added to an archive, and when."""

from pathlib import Path
from typing import Annotated

import typer

from data_pipeline.archive.commits import last_commit, load_commit
from data_pipeline.stores.writing import open_store


def log(archive: Annotated[Path, typer.Argument(help="An archive, as made by `dino-data ingest --append`.")]) -> None:
    """List the commits of an archive, the newest first: number, time (UTC), what came in.

    Example: dino-data log stores/tracks.archive
    """
    open_store(archive, as_of=1)  # says in one sentence what is wrong with anything that is no archive
    for number in range(last_commit(archive), 0, -1):
        commit = load_commit(archive, number)
        typer.echo(f"{number:>6}  {commit.time:%Y-%m-%dT%H:%M:%SZ}  {commit.summary()}")
