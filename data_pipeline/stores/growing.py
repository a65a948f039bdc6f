"""Write a store as it is made, so that a long run that was stopped continues where it was.

Finished parts wait in a hidden sibling of the store (`.name.growing`), beside the settings they were made with. A part
appears under its name when it is whole, and its checksum is read back before it is trusted. When all are there
`write_store` puts the store in place and the folder goes.
"""

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

import dask.array
import numpy as np
import xarray as xr
from dask.delayed import delayed

from data_pipeline.layout.checks import channel_names
from data_pipeline.stores.parts import FieldParts
from data_pipeline.stores.writing import write_store
from data_pipeline.system.atomic import writing_file
from data_pipeline.system.folders import claimed, writing
from data_pipeline.system.progress import Progress
from data_pipeline.system.provenance import digest_of_code
from data_pipeline.system.scheduler import here
from data_pipeline.system.settings import refuse_existing


def grow_store(
    parts: FieldParts, path: str | os.PathLike[str], *, overwrite: bool = False, progress: Progress | None = None
) -> Path:
    """Make all parts, write them to a field store at `path` and return the path.

    After a crash the same call makes only what is missing, and the store is the same to the byte. Parts of other
    settings, or of another version of the simulators, are made anew. Memory is bounded by `workers` parts and a region
    of the store; until the store is in place the disk holds the parts besides. Raises StoreError when `path` is taken
    and `overwrite` is false, or when it cannot be written, and BusyError when another process is making it.
    """
    path = Path(path)
    refuse_existing(path, overwrite)
    folder = path.parent / f".{path.name}.growing"
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        busy = f"{str(path)!r} is being made by another process ({{writer}}); wait for it or choose another --out"
        with claimed(folder / "lock", busy):
            _begin(folder, parts)
            done = {part for part in range(len(parts.sizes)) if _is_whole(folder, parts, part)}
            try:
                parts.compute(lambda part, values: _save(folder, part, values), done, progress)
            finally:
                if not any(folder.glob("part-*.npz")):  # stopped before there was anything to keep
                    shutil.rmtree(folder)
            with here():  # workers of a cluster need not see this folder
                write_store(_assembled(folder, parts), path, overwrite=overwrite)
            shutil.rmtree(folder)
    return path


def _begin(folder: Path, parts: FieldParts) -> None:
    """Keep the parts of an earlier run with the same settings and code of the simulators, delete any others."""
    whole = json.dumps([parts.settings, parts.sizes, parts.fields.attrs["product"], digest_of_code("simulators")])
    digest = hashlib.sha256(whole.encode()).hexdigest()
    record = folder / "settings"
    if record.exists() and record.read_bytes() == digest.encode():
        return
    for stale in [record, *folder.glob("part-*")]:
        stale.unlink(missing_ok=True)
    record.write_text(digest)


def _part(folder: Path, part: int) -> Path:
    return folder / f"part-{part:05d}.npz"


def _save(folder: Path, part: int, values: Mapping[str, np.ndarray]) -> None:
    with writing_file(_part(folder, part)) as partial, open(partial, "wb") as file:
        np.savez(file, **values)  # pyright: ignore[reportArgumentType]


def _load(path: Path, name: str) -> np.ndarray:
    """Values of one channel; reading to the end compares the checksum."""
    with np.load(path, allow_pickle=False) as file:
        return file[name]


def _is_whole(folder: Path, parts: FieldParts, part: int) -> bool:
    path = _part(folder, part)
    try:
        return all(_load(path, name).shape == shape for name, shape in parts.shapes(part).items())
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return False


def _assembled(folder: Path, parts: FieldParts) -> xr.Dataset:
    """The dataset of all parts, each read when it is needed."""
    read = delayed(_load, pure=False)
    whole = {}
    for name in channel_names(parts.fields):
        kind = parts.fields[name].dtype
        blocks = [
            dask.array.from_delayed(read(_part(folder, part), name), parts.shapes(part)[name], kind)
            for part in range(len(parts.sizes))
        ]
        whole[name] = parts.fields[name].copy(data=dask.array.concatenate(blocks))
    return parts.fields.assign(whole)
