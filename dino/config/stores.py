"""What a run learns from, and where it lies."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from data_pipeline.layout.moments import MomentSetting

from .section import Box, Section


class StoreConfig(Section):
    """One training store, or every store that a pattern such as `stores/oceans/*.zarr` finds, and how it is cut."""

    path: Path
    channels: list[str] | None = Field(default=None, description="names in this store; data.channels when absent")
    climatology: Literal["map", "constant"] = "constant"
    tile_degrees: float | None = Field(default=None, gt=0, description="tile size; the domain's when absent")
    weight: float = Field(
        default=1.0, gt=0, description="relative share of training batches, of all stores that a pattern finds together"
    )
    exclude: list[Box] = Field(
        default=[], description="tiles: west, east, south, north of areas; tiles that touch one are not trained on"
    )


class DataConfig(Section):
    """What a model learns from. The first store is the ocean the run will forecast."""

    stores: list[StoreConfig] = Field(min_length=1)
    channels: list[str] = Field(min_length=1)
    hidden: list[str] = Field(
        default=[],
        description="channels of simulations that nobody observes: the decoder learns them behind the others, the "
        "dynamics use them, and the finished run shows only what they say of the others",
    )
    simulated: "DataConfig | None" = Field(
        default=None, description="of a relocated run: what it was trained on, and when; transfer compares with it"
    )
    train_start: MomentSetting | None = None
    train_end: MomentSetting | None = Field(
        default=None, description="last moment of the first store that training may see"
    )
    translations: int = Field(
        default=1, ge=1, description="copies of every training trajectory on a periodic box, each moved at random"
    )
    symmetries: int = Field(
        default=1, ge=1, description="copies of every training trajectory, moved by the symmetries its store declares"
    )
    mirrors: bool = Field(
        default=False,
        description="tiles: copies mirrored into the other hemisphere, with high and low exchanged, and both",
    )
    keep: float = Field(default=1.0, gt=0, le=1, description="share of the grid cells that training may see")
    keep_seed: int = Field(default=0, ge=0, description="seed of the random cells that are kept")
    memory_gb: float = Field(
        default=1.0, gt=0, description="values of a store that are held in memory; a larger store is streamed"
    )
    validation_days: float = Field(default=10.0, ge=0, description="last days of the training period held out")
    validation_trajectories: float = Field(default=0.125, ge=0, lt=1, description="share held out, of eight or more")
    validation_areas: list[Box] = Field(
        default=[],
        description="tiles: areas of the first store to validate on, in place of days; tiles that touch one are not "
        "trained on, those with their centre in one are validated on",
    )


class DomainConfig(Section):
    """Where the field lives; `auto` takes a periodic box, the sphere or a region from the store."""

    kind: Literal["auto", "sphere", "region", "periodic_box", "tiles"] = "auto"
    tile_degrees: float = Field(default=4.0, gt=0)
    overlap: float = Field(default=0.5, ge=0, lt=1)
    minimum_valid: float = Field(
        default=0.4, gt=0, le=1, description="share of ocean cells below which a tile is dropped"
    )
    maximum_latitude: float = Field(default=66.0, gt=0, le=89)
