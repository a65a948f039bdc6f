"""From ocean products and simulations to zarr stores, and from stores to blocks of numpy."""

from typing import TYPE_CHECKING

from data_pipeline.system.lazy import lazy_names

if TYPE_CHECKING:
    from data_pipeline.archive.appending import append
    from data_pipeline.errors import DinoError
    from data_pipeline.layout.datasets import channel_names, fields_dataset, observations_dataset
    from data_pipeline.products import ingest
    from data_pipeline.stores.stream import iterate_blocks, read_window
    from data_pipeline.stores.validation import validate_store
    from data_pipeline.stores.writing import open_store, write_store

__all__ = [
    "DinoError",
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

# Imported when they are touched: all of them together take a second.
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "DinoError": "data_pipeline.errors",
        "append": "data_pipeline.archive.appending",
        "channel_names": "data_pipeline.layout.datasets",
        "fields_dataset": "data_pipeline.layout.datasets",
        "ingest": "data_pipeline.products",
        "iterate_blocks": "data_pipeline.stores.stream",
        "observations_dataset": "data_pipeline.layout.datasets",
        "open_store": "data_pipeline.stores.writing",
        "read_window": "data_pipeline.stores.stream",
        "validate_store": "data_pipeline.stores.validation",
        "write_store": "data_pipeline.stores.writing",
    },
)
