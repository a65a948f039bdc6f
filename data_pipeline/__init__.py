"""From ocean products and simulations to zarr stores, and from stores to blocks of numpy."""

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
