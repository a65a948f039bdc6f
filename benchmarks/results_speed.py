"""Tables of docs/results.md: how long it takes, and what stays in memory."""

from collections.abc import Mapping
from typing import Any

from pages import Read, Table, number, table

FORECASTS = {
    "from points, with standard deviation": "from_points_with_spread",
    "from points, mean only": "from_points_without_spread",
    "from maps, with standard deviation": "from_maps_with_spread",
    "from maps, mean only": "from_maps_without_spread",
}


def encoding(read: Read) -> list[Table]:
    """Codes of maps: exactly, and by gradient descent."""
    found = read("encode")
    rows = [["exact solve, basis included", figure(found["exact_seconds"]), "", number(found["exact_mse"])]]
    for name, shown, ratio in (
        ("plain", "300 Adam steps, filters evaluated for every map, as in DINo's published code", "ratio"),
        ("plain_shared_filters", "300 Adam steps, filters shared by all maps", "ratio_shared_filters"),
    ):
        mse = f"{found[f'{name}_mse']:.2g}"
        rows.append([shown, figure(found[f"{name}_seconds"]), f"{found[ratio]:,.0f}", mse])
    return [table(["", "seconds", "times as long", "mean squared error (field variance 1)"], rows)]


def figure(seconds: float) -> str:
    """Three digits."""
    return f"{seconds:.3g}"


def training_step(read: Read) -> list[Table]:
    """One step of the decoder's training."""
    found = read("training_step")
    rows = [
        ["variable projection", figure(found["projection_seconds"]), ""],
        [
            "plain step with learned codes, filters evaluated for every map",
            figure(found["plain_seconds"]),
            f"{found['ratio']:.0f}",
        ],
        [
            "plain step, filters shared by all maps",
            figure(found["plain_shared_filters_seconds"]),
            f"{found['ratio_shared_filters']:.0f}",
        ],
    ]
    return [table(["", "seconds", "times as long"], rows)]


def command(read: Read) -> list[Table]:
    """`dino forecast` from the shell."""
    rows = []
    for name, shown in (("forecast_command_tracks", "tracks"), ("forecast_command", "mediterranean")):
        found = read(name)
        cells = [f"{found[key]:.1f}" for key in ("forecast_seconds", "imports_seconds")]
        rows.append([f"a run of `configs/{shown}.yaml`", *cells])
    return [table(["", "seconds in all", "of these imports"], rows)]


def points(read: Read) -> list[Table]:
    """Forecasts at many points, and memory beyond them."""
    found = read("forecast_points")
    sizes = list(found["from_points_with_spread"])
    rows = []
    for shown, name in FORECASTS.items():
        cells = [f"{found[name][size]['seconds']:#.2g}" for size in sizes]
        rate = found[name][sizes[-1]]["points_per_second"]
        rows.append([f"{shown}: seconds", *cells[:-1], f"{cells[-1]} ({round(rate, -3):,.0f} points/s)"])
    largest = [max(found[name][size]["beyond_mb"] for name in FORECASTS.values()) for size in sizes]
    rows.append(["memory beyond the forecast itself, largest of the four [MB]", *(f"{mb:.0f}" for mb in largest)])
    return [table(["", *(f"{int(size):,} points" for size in sizes)], rows)]


def archive(read: Read) -> list[Table]:
    """A thousand daily appends, and ten days read out of them."""
    found = read("archive")
    took, window, store = (found[name] for name in ("appends", "window_of_archive", "window_of_store"))
    took = took["wall_seconds"]
    appends = [
        ["days 1 to 20", f"{took['days_1_to_20']:.2f}", "1"],
        ["days 81 to 100", f"{took['days_81_to_100']:.2f}", f"{took['ratio_at_100']:.2f}"],
        ["last 20 days", f"{took['last_20_days']:.2f}", f"{took['ratio_at_end']:.2f}"],
    ]
    windows = [["the archive", *opened(window)], ["one store of the same points", *opened(store)]]
    return [
        table(["an append of 100,000 points", "seconds, median", "over the first twenty"], appends),
        table(["ten days (1,000,000 points) from", "seconds to open and read", "chunks opened", "of"], windows),
    ]


def opened(found: Mapping[str, Any]) -> tuple[str, str, str]:
    """Seconds and chunks of one window."""
    return f"{found['open_and_read_seconds']:.2f}", str(found["chunks_opened"]), f"{found['chunks_in_all']:,}"


def streaming(read: Read) -> list[Table]:
    """Blocks of stores larger than memory."""
    found = read("streaming")
    rows = []
    for size in (1, 4, 16):
        one = found[f"read_{size}_gb"]
        mb = f"{one['mb_per_second']['streamed']:.0f}"
        rows.append([str(size), mb, f"{one['streamed_over_zarr']:.2f}", f"{one['resident_mb_added'] / 1000:.2f}"])
    train = read("streaming_train")["train"]
    rows.append([f"{train['gigabytes']:.0f}, a training", "", "", f"{train['resident_mb_added'] / 1000:.2f}"])
    return [table(["store [GB]", "MB/s", "over the rate of zarr alone", "memory added [GB]"], rows)]
