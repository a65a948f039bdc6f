"""Files that are read once: a store for each set of files and options, in a cache folder.

A store is named by a digest of the files' contents and names, of the options and of this package's code. A file that
changed, or another version of the package, is read anew; nothing in the cache is ever out of date.
"""

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from data_pipeline.errors import StoreError
from data_pipeline.products import ingest
from data_pipeline.products.files import expand
from data_pipeline.stores.writing import open_store, write_store
from data_pipeline.system.provenance import digest_of_code, provenance
from data_pipeline.system.version import version

VARIABLE = "DINO_CACHE"  # of the environment: the cache folder


def cache_folder() -> Path:
    """Where the user's cache is: `DINO_CACHE`, else `dino` where the system keeps caches."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "dino"
    if local := os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"):
        return Path(local) / "dino"
    return Path.home() / ".cache" / "dino"


def ingested(paths: Sequence[str | os.PathLike[str]], cache: Path | None = None, **options: Any) -> xr.Dataset:
    """The files (paths or glob patterns) as an open store, read at most once.

    cache : the cache folder, `cache_folder()` when absent. options : those of `ingest`. Raises what `ingest` and
    `write_store` raise.
    """
    files = expand(paths)
    known = {path: provenance(path) for path in files if path.is_file()}
    store = (cache or cache_folder()) / "ingested" / f"{_key(list(known.values()), options)}.zarr"
    if not store.exists():
        made = ingest(files, provenances=known, **options)
        try:
            write_store(made, store)
        except StoreError:
            if not store.exists():  # else another process was faster with the same
                raise
    return open_store(store, blocks=False)


def _key(provenances: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> str:
    content = [list(map(dict, provenances)), dict(options), version(), digest_of_code()]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:32]
