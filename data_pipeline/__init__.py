"""From ocean products and simulations to zarr stores, and from stores to blocks of numpy."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data_pipeline.archive.appending import append
    from data_pipeline.errors import DinoError
    from data_pipeline.layout.datasets import channel_names, fields_dataset, observations_dataset
    from data_pipeline.products import ingest
    from data_pipeline.stores.stream import iterate_blocks, read_window
    from data_pipeline.stores.validation import validate_store
    from data_pipeline.stores.writing import open_store, write_store

    __version__: str

__all__ = [
    "DinoError",
    "__version__",
    "append",
    "channel_names",
    "fields_dataset",
    "ingest",
    "iterate_blocks",
    "observations_dataset",
    "open_store",
    "read_window",
    "validate_store",
    "write_store",
]

# Imported when they are asked for: whoever reads a store waits for no library that only ingestion needs.
_PLACES = {
    "DinoError": "errors",
    "append": "archive.appending",
    "channel_names": "layout.datasets",
    "fields_dataset": "layout.datasets",
    "ingest": "products",
    "iterate_blocks": "stores.stream",
    "observations_dataset": "layout.datasets",
    "open_store": "stores.writing",
    "read_window": "stores.stream",
    "validate_store": "stores.validation",
    "write_store": "stores.writing",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("dino-ocean")
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
