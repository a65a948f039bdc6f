"""What is missing of an archive, or of a store, on the disk."""

from pathlib import Path

import numpy as np
import zarr

from data_pipeline.archive.commits import last_commit, load_commit
from data_pipeline.errors import StoreError, reason
from data_pipeline.layout.problems import Problem
from data_pipeline.system.capacity import check_zarr
from data_pipeline.system.inside import inside


def lost_chunks(path: Path, where: str = "") -> list[Problem]:
    """Chunks that the group in a folder lacks. Writers store empty ones too: zarr reads a lost one as fill."""
    problems = []
    for name, array in sorted(zarr.open_group(path, mode="r", use_consolidated=False).arrays()):
        lost = array.nchunks - array.nchunks_initialized
        if not lost:
            continue
        place = next(
            place
            for place in np.ndindex(*array.cdata_shape)
            if not (path / name / array.metadata.encode_chunk_key(place)).exists()
        )
        dims = getattr(array.metadata, "dimension_names", None) or [f"dimension {k}" for k in range(len(place))]
        index = tuple((str(dim), k * size) for dim, k, size in zip(dims, place, array.chunks, strict=True))
        problems.append(Problem(f"variable {name}{where}", f"lacks chunks on disk, of {array.nchunks}", lost, index))
    return problems


def archive_problems(path: Path) -> list[Problem]:
    """What is lost of any commit, superseded ones included: earlier states are promised too."""
    problems = []
    for number in range(1, last_commit(path) + 1):
        try:
            commit = load_commit(path, number)
        except StoreError as error:
            problems.append(Problem("", str(error)))
            continue
        pieces = [*commit.points.values(), *commit.repeats.values()]
        for part in sorted({piece[0] for piece in pieces if piece is not None}):
            try:
                folder = inside(path, f"commits/{part}")
                check_zarr(folder)
                problems += lost_chunks(folder, f" of {part}")
            except StoreError as error:
                problems.append(Problem(f"part {part}", str(error)))
            except Exception as error:  # damaged metadata raises whatever it makes zarr raise
                problems.append(Problem(f"part {part}", f"cannot be opened ({reason(error)})"))
    return problems
