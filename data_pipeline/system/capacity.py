"""What files can hold: a foreign folder that claims more is refused before anything is allocated for it.

A few lines of JSON may claim a column of 1e13 rows. What is claimed is compared with the bytes on the disk, at the
ratio that the codecs reach on values that are all the same. The JSON is read here by itself, so that nothing of a store
is opened, and no codec of it is run, before the store has been looked through.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_pipeline.errors import StoreError, reason
from data_pipeline.system.inside import links_stay_inside

JSON_BYTES = 2**28
RATIO = 2**16  # zstd writes a block of 2^17 equal bytes as four
SLACK_BYTES = 2**26  # may be claimed without a byte on the disk: lost chunks are told by `validate`
CHUNK_BYTES = 2**30  # of one chunk; writers of stores make 2^24
MANY_CHUNKS = 2**16  # of more than these half must be there
# Codecs that turn bytes into bytes or numbers. None of them runs what it reads, as one that unpickles objects would.
_NUMCODECS = (
    "adler32", "astype", "bitround", "blosc", "bz2", "crc32", "crc32c", "delta", "fixedscaleoffset", "fletcher32",
    "gzip", "jenkins_lookup3", "lz4", "lzma", "packbits", "pcodec", "quantize", "shuffle", "zfpy", "zlib", "zstd",
)  # fmt: skip
CODECS = frozenset(
    ("blosc", "bytes", "crc32c", "gzip", "sharding_indexed", "transpose", "vlen-bytes", "vlen-utf8", "zstd")
) | {f"numcodecs.{name}" for name in _NUMCODECS}
_ITEM_BYTES = {"bool": 1, "string": 4, "variable_length_utf8": 4, "variable_length_bytes": 4} | {
    f"{kind}{bits}": bits // 8
    for kind, all_bits in (("int", (8, 16, 32, 64)), ("uint", (8, 16, 32, 64)), ("float", (16, 32, 64)))
    for bits in all_bits
}


def read_json(path: Path, most: int = JSON_BYTES) -> Any:
    """The content of a JSON file; StoreError when it is longer than `most` bytes, cannot be read, or is no JSON."""
    try:
        return json.loads(read_bounded(path, most))
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{str(path)!r} is no JSON ({reason(error)}); restore it from a copy") from error


def read_bounded(path: Path, most: int = JSON_BYTES) -> bytes:
    """The bytes of a file that describes others; StoreError when it is longer than `most` or cannot be read."""
    try:
        if not path.is_file():  # a pipe would be waited for
            raise StoreError(f"{str(path)!r} cannot be read (it is no file); restore it from a copy")
        if path.stat().st_size > most:
            raise StoreError(f"{str(path)!r} is longer than the {most} bytes of any description; it is not read")
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"{str(path)!r} cannot be read ({reason(error)}); restore it from a copy") from error


def check_zarr(folder: Path) -> None:
    """Look through a zarr store, or a group or an array of one, of format 3, without opening it.

    Raises StoreError for a link that leads out of the folder, for arrays of format 2 (whose codecs may run code), for a
    codec that is not one of `CODECS`, and for an array that claims more than its files can hold.
    """
    for array in _arrays(folder):
        _check_array(array)


@dataclass
class _Array:
    """An array of a store: its folder, its metadata, and the files of its chunks, of which some are weighed."""

    folder: Path
    metadata: Mapping[str, Any]
    files: int = 0
    bytes: int = 0

    def take(self, entry: "os.DirEntry[str]") -> None:
        """Count a file. Files are weighed until they are enough for what is claimed: there may be many."""
        self.files += 1
        if self.bytes * RATIO < self.claimed:
            self.bytes += entry.stat().st_size

    @property
    def shape(self) -> list[int]:
        return self._sizes(self.metadata["shape"], 0)

    @property
    def chunk(self) -> list[int]:
        return self._sizes(self.metadata["chunk_grid"]["configuration"]["chunk_shape"], 1)

    @property
    def item_bytes(self) -> int:
        kind = self.metadata["data_type"]
        if isinstance(kind, dict) and kind["name"] in ("fixed_length_utf32", "null_terminated_bytes", "raw_bytes"):
            return max(1, *self._sizes([kind["configuration"]["length_bytes"]], 0))
        return _ITEM_BYTES[kind if isinstance(kind, str) else kind["name"]]

    @property
    def claimed(self) -> int:
        return math.prod(self.shape) * self.item_bytes

    def _sizes(self, sizes: Any, least: int) -> list[int]:
        if not all(isinstance(size, int) and size >= least for size in sizes):
            raise ValueError(f"sizes {sizes} are none")
        return list(sizes)


def _arrays(folder: Path) -> Iterator[_Array]:
    """All arrays at or below a folder, with their files counted; StoreError for a link that leads out."""
    waiting: list[tuple[str, _Array | None]] = [(os.fspath(folder), None)]
    found: list[_Array] = []
    while waiting:
        where, array = waiting.pop()
        with os.scandir(where) as entries:
            here = {entry.name: entry for entry in entries}
        if {".zarray", ".zgroup"} & set(here) and "zarr.json" not in here:
            raise StoreError(
                f"{where!r} is of zarr's format 2, where stores are of format 3; ingest the original files instead"
            )
        if "zarr.json" in here:
            links_stay_inside(folder, here["zarr.json"])
            metadata = read_json(Path(where, "zarr.json"))
            if isinstance(metadata, dict) and metadata.get("node_type") == "array":
                array = _Array(Path(where), metadata)
                _understood(array)
                found.append(array)
        for name, entry in here.items():
            links_stay_inside(folder, entry)
            if entry.is_dir():
                # A link inside the folder is followed by whoever reads it: its target is looked through by itself.
                if not entry.is_symlink():
                    waiting.append((entry.path, array))
            elif array is not None and name != "zarr.json":
                array.take(entry)
    yield from found


def _understood(array: _Array) -> None:
    """StoreError for metadata that are not those of an array."""
    try:
        codecs = list(_names(array.metadata["codecs"]))
        if (
            array.claimed < 0
            or len(array.chunk) != len(array.shape)
            or array.metadata["chunk_grid"]["name"] != "regular"
        ):
            raise ValueError("its chunks are of another shape than the array")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(
            f"{str(array.folder)!r} does not describe an array of a store ({reason(error)}); ingest the original files"
        ) from error
    if foreign := sorted(set(codecs) - CODECS):
        raise StoreError(
            f"{str(array.folder)!r} wants the codec {foreign[0]!r}, which no store has and which may run code; "
            "ingest the original files instead"
        )


def _names(codecs: Any) -> Iterator[str]:
    """Names of codecs, those inside of others too."""
    for codec in codecs:
        yield str(codec if isinstance(codec, str) else codec["name"])
        inner = {} if isinstance(codec, str) else codec.get("configuration") or {}
        for key in ("codecs", "index_codecs"):
            yield from _names(inner.get(key, ()))


def _check_array(array: _Array) -> None:
    where = str(array.folder)
    if array.claimed > SLACK_BYTES + RATIO * array.bytes:
        raise StoreError(
            f"{where!r} claims {array.shape} values, {array.claimed:.3g} bytes, where the disk has {array.bytes} bytes "
            "of it, which can hold no such number; the store is damaged or foreign, make it anew"
        )
    chunk = math.prod(array.chunk) * array.item_bytes
    if chunk > CHUNK_BYTES and array.claimed > CHUNK_BYTES:
        raise StoreError(
            f"{where!r} has chunks of {array.chunk} values, more than a reader should hold ({CHUNK_BYTES} bytes); "
            "make the store anew"
        )
    chunks = math.prod(-(-size // length) for size, length in zip(array.shape, array.chunk, strict=True))
    if chunks > MANY_CHUNKS and 2 * array.files < chunks:
        raise StoreError(
            f"{where!r} claims {chunks} chunks where the disk has {array.files}; the store is damaged, make it anew"
        )
