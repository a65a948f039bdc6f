"""What is missing of an archive, or of a store, on the disk."""

from pathlib import Path

import zarr

from data_pipeline.archive.commits import last_commit, load_commit
from data_pipeline.errors import StoreError


def lost_chunks(group: Path, where: str = "") -> list[str]:
    """Chunks that are gone: writers store empty ones too, and zarr itself would read a lost one as fill."""
    problems = []
    for name, array in sorted(zarr.open_group(group, mode="r").arrays()):
        lost = array.nchunks - array.nchunks_initialized
        problems += [f"variable {name}{where} lacks {lost} of its {array.nchunks} chunks on disk"] if lost else []
    return problems


def archive_problems(path: Path) -> list[str]:
    """What is lost of any commit, superseded ones included: earlier states are promised too."""
    problems = []
    for number in range(1, last_commit(path) + 1):
        try:
            commit = load_commit(path, number)
        except StoreError as error:
            problems.append(str(error))
            continue
        pieces = [*commit.points.values(), *commit.repeats.values()]
        for part in sorted({piece[0] for piece in pieces if piece is not None}):
            try:
                problems += lost_chunks(path / "commits" / part, f" of {part}")
            except Exception as error:  # damaged metadata raises whatever it makes zarr raise
                problems.append(f"part {part} cannot be opened ({' '.join(str(error).split())[:200]})")
    return problems
